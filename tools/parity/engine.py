"""lora-native as a function of its arguments: a process for each call, or one for all (Commands.java)."""

import os
import shlex
import shutil
import subprocess

from run_all import ROOT, run

JAR = os.path.join(ROOT, "java/target/lora-native.jar")


class Launcher:
    """Every call starts the command anew."""

    def __init__(self, command):
        self.start = shlex.split(command)

    def __call__(self, arguments):
        return run(self.start + arguments)


class Process:
    """One JVM for all calls: much faster for small models. Needs the jar, which ./lora-native builds."""

    def __init__(self, jar=JAR):
        home = os.environ.get("JAVA_HOME")
        java = os.path.join(home, "bin/java") if home else shutil.which("java")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Commands.java")
        command = [java, "--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC", "-cp", jar, source]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, arguments):
        self.process.stdin.write("\x1f".join(arguments).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise RuntimeError("lora-native ended")
        code, output, errors = (int(number) for number in answer)
        output, errors = self.process.stdout.read(output).decode(), self.process.stdout.read(errors).decode()
        if code != 0:
            lines = errors.splitlines() or ["no message"]
            raise RuntimeError(f"exit code {code}: {next((l for l in lines if l.startswith('error:')), lines[-1])}")
        return output
