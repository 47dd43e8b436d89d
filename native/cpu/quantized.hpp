// The tables of the 4-bit formats. Data only: functions shared between tiers are not allowed (tiers.hpp).
#pragma once

namespace ln::cpu {

/// Values of LN_NF4 by code, rising.
static constexpr float kNf4Values[16] = {-1.0f,
                                         -0.6961928009986877f,
                                         -0.5250730514526367f,
                                         -0.39491748809814453f,
                                         -0.28444138169288635f,
                                         -0.18477343022823334f,
                                         -0.09105003625154495f,
                                         0.0f,
                                         0.07958029955625534f,
                                         0.16093020141124725f,
                                         0.24611230194568634f,
                                         0.33791524171829224f,
                                         0.44070982933044434f,
                                         0.5626170039176941f,
                                         0.7229568362236023f,
                                         1.0f};

/// Values of LN_FP4 by code: a sign bit and an unordered table of eight magnitudes.
static constexpr float kFp4Values[16] = {0.0f,  1.0f / 192,  2.0f / 3,  1.0f,  1.0f / 3,  0.5f,  1.0f / 6,  0.25f,
                                         -0.0f, -1.0f / 192, -2.0f / 3, -1.0f, -1.0f / 3, -0.5f, -1.0f / 6, -0.25f};

/// Midpoint i of LN_NF4 lies between codes i and i + 1.
struct Nf4Midpoints {
  float of[15] = {};
  constexpr Nf4Midpoints() {
    for (int i = 0; i < 15; ++i) of[i] = (kNf4Values[i] + kNf4Values[i + 1]) / 2;
  }
};
static constexpr Nf4Midpoints kNf4Midpoints;

/// A magnitude above kFp4Midpoints[i] and not above the next one has code kFp4Codes[i]; below all it has code 0.
static constexpr float kFp4Midpoints[7] = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,
                                           0.4166667f,  0.583333f,  0.8333333f};
static constexpr int kFp4Codes[7] = {1, 6, 7, 4, 5, 2, 3};

/// Blocks whose largest magnitude is smaller are scaled as if it were this.
static constexpr float kSmallestScale = 1e-38f;
/// The code of 0.0 in LN_NF4; in LN_FP4 it is 0.
static constexpr int kNf4Zero = 7;

}  // namespace ln::cpu
