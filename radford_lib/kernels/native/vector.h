// Vectors of float that every compiler with GNU vector extensions turns into its machine's own.
#pragma once

#include <cstdint>
#include <cstring>

namespace radford {

// A panel is as many output columns as the micro-kernel keeps in registers at a time: kVectors
// vectors for each of its kRows rows, and what the loop needs beside them, must fit.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kVectors = 2;
#elif defined(__AVX__)
constexpr int kLanes = 8, kVectors = 2;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kVectors = 4;  // 32 registers of four floats
#else
constexpr int kLanes = 4, kVectors = 2;
#endif
constexpr int kPanel = kLanes * kVectors;
constexpr int kRows = 6;

typedef float Vector __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);  // any alignment
  return v;
}

inline void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }

// Ask for `floats` floats that will be read (or written) soon, one cache line at a time.
inline void prefetch(const float* from, int floats) {
  for (int i = 0; i < floats; i += 16) __builtin_prefetch(from + i, 0);
}

inline void prefetch_to_write(float* to, int floats) {
  for (int i = 0; i < floats; i += 16) __builtin_prefetch(to + i, 1);
}

inline Vector broadcast(float x) { return x - Vector{}; }

// tanh as a ratio of polynomials (the coefficients are Eigen's), within a few units in the last
// place; beyond the bounds float32 tanh is +-1. A NaN fails both comparisons and stays one.
inline Vector tanh(Vector x) {
  const Vector bound = broadcast(7.90531110763549805f);
  x = x > bound ? bound : x;
  x = x < -bound ? -bound : x;
  const Vector s = x * x;
  Vector p = broadcast(-2.76076847742355e-16f);
  p = p * s + 2.00018790482477e-13f;
  p = p * s - 8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  Vector q = broadcast(1.19825839466702e-06f);
  q = q * s + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return x * p / q;
}

inline Vector sigmoid(Vector x) { return 0.5f + 0.5f * tanh(0.5f * x); }

}  // namespace radford
