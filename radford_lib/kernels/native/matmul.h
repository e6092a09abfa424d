// Products with weights packed in panels, [panel][depth][kPanel]: the micro-kernel reads them in
// the order in which they lie in memory.
//
// Each element of a product is one chain of multiply-adds, in the order of the depth, whatever the
// number of rows or threads and however the work is cut: results depend on none of these.
#pragma once

#include <algorithm>

#include "vector.h"

namespace radford {

struct Rows {  // `count` rows of floats, `stride` floats apart
  const float* data;
  int64_t stride, count;
};

struct Tiles {  // element (row, column) of panel p is at data + p * panel + row * stride + column
  float* data;
  int64_t panel, stride;
};

constexpr int kWidePanels = 4;     // with a single row, so many panels keep the adders busy
constexpr int64_t kDepth = 512;    // of weights that are read again for every kRows rows
constexpr int kWeightsAhead = 64;  // depth by which to ask for weights

// out (+)= x weights for `rows` rows and `panels` panels, with all sums in registers.
template <int rows, int panels>
void multiply_block(const float* x, int64_t x_stride, const float* weights, int64_t panel_size,
                    int64_t depth, Tiles out, bool add) {
  Vector sum[panels][rows][kVectors];
  for (int p = 0; p < panels; p++)
    for (int r = 0; r < rows; r++) {
      float* to = out.data + p * out.panel + r * out.stride;
      if (!add) prefetch_to_write(to, kPanel);  // there by the time that the sums are
      for (int v = 0; v < kVectors; v++) sum[p][r][v] = add ? load(to + v * kLanes) : Vector{};
    }
  for (int64_t k = 0; k < depth; k++)
    for (int p = 0; p < panels; p++) {
      const float* w = weights + p * panel_size + k * kPanel;
      prefetch(w + kWeightsAhead * kPanel, kPanel);
      Vector column[kVectors];
      for (int v = 0; v < kVectors; v++) column[v] = load(w + v * kLanes);
      for (int r = 0; r < rows; r++) {
        const Vector factor = broadcast(x[r * x_stride + k]);
        for (int v = 0; v < kVectors; v++) sum[p][r][v] += factor * column[v];
      }
    }
  for (int p = 0; p < panels; p++)
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < kVectors; v++)
        store(out.data + p * out.panel + r * out.stride + v * kLanes, sum[p][r][v]);
}

// One panel, kDepth or less of it, for all rows of x.
inline void multiply_panel(Rows x, const float* weights, int64_t depth, Tiles out, bool add) {
  const int64_t blocks = (x.count + kRows - 1) / kRows;
  for (int64_t n = 0; n < blocks; n++) {  // of nearly equal size: a short one would idle the adders
    const int64_t first = x.count * n / blocks, count = x.count * (n + 1) / blocks - first;
    const float* rows = x.data + first * x.stride;
    const Tiles to{out.data + first * out.stride, out.panel, out.stride};
    switch (count) {
      case 1: multiply_block<1, 1>(rows, x.stride, weights, 0, depth, to, add); break;
      case 2: multiply_block<2, 1>(rows, x.stride, weights, 0, depth, to, add); break;
      case 3: multiply_block<3, 1>(rows, x.stride, weights, 0, depth, to, add); break;
      case 4: multiply_block<4, 1>(rows, x.stride, weights, 0, depth, to, add); break;
      case 5: multiply_block<5, 1>(rows, x.stride, weights, 0, depth, to, add); break;
      default: multiply_block<6, 1>(rows, x.stride, weights, 0, depth, to, add);
    }
  }
}
static_assert(kRows == 6, "multiply_panel has a case for each number of rows");

// out (+)= x weights for `panels` panels.
inline void multiply(Rows x, const float* weights, int64_t panels, int64_t depth, Tiles out,
                     bool add = false) {
  const int64_t panel_size = depth * kPanel;
  if (x.count == 1 && panels == kWidePanels) {
    multiply_block<1, kWidePanels>(x.data, x.stride, weights, panel_size, depth, out, add);
    return;
  }
  for (int64_t p = 0; p < panels; p++)
    for (int64_t k = 0; k < depth; k += kDepth) {
      const Rows part{x.data + k, x.stride, x.count};
      const Tiles to{out.data + p * out.panel, out.panel, out.stride};
      multiply_panel(part, weights + p * panel_size + k * kPanel, std::min(kDepth, depth - k), to,
                     add || k > 0);
    }
}

// Panels that `multiply` had better take together.
inline int64_t panels_at_once(int64_t rows) { return rows == 1 ? kWidePanels : 1; }

}  // namespace radford
