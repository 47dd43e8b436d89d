// Next-token probabilities of llama.cpp at every position of a prompt: node llama_probabilities.mjs MODULES BASE.gguf LORA.gguf|"" IDS
// The last line of the output is a JSON list [positions][vocabulary].
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, base, lora, ids] = process.argv.slice(2);
const entry = createRequire(modules + "/").resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "warn" });
const model = await llama.loadModel({ modelPath: base, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: 64,
  batchSize: 64,
  flashAttention: false,
  experimentalKvCacheKeyType: "F32",
  experimentalKvCacheValueType: "F32",
  ...(lora ? { lora: { adapters: [{ filePath: lora, scale: 1 }] } } : {}),
});
const tokens = ids.split(",").map(Number);
const sequence = context.getSequence();
const results = await sequence.controlledEvaluate(
  tokens.map((token) => [token, { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } }]),
);
const vocabulary = results[0].next.probabilities.size;
console.log(
  JSON.stringify(results.map((result) => Array.from({ length: vocabulary }, (_, token) => result.next.probabilities.get(token)))),
);
process.exit(0);
