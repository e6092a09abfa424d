// The recurrence backwards, by hand.
//
// Weight gradients are not made here: they are one product each over all steps, of dz and dhm.
#pragma once

#include "matmul.h"
#include "sequence.h"
#include "threads.h"

namespace radford {

// Ask for what gates_backward wants of row b.
inline void ask_for_gates(const Sequence& s, const Gradients& g, int64_t t, int64_t panel,
                          int64_t b) {
  const int64_t row = t * s.batch + b, unit = panel * kPanel;
  prefetch(g.h + row * s.hidden + unit, kPanel);
  prefetch(s.gates_row(panel, t, b), 4 * kPanel);
  prefetch(s.c_row(panel, t, b), kPanel);
  prefetch(s.c_row(panel, t + 1, b), kPanel);
  prefetch_to_write(g.table_zx_row(s, panel, t, b), 4 * kPanel);
  for (int q = 0; q < 4; q++)
    prefetch_to_write(g.dz + row * g.dz_stride + q * s.hidden + unit, kPanel);
}

// dz of one vector of units from d, the gradient of its h, and dc; dc becomes that of c_before.
inline void vector_backward(const float* gate, const float* c_before, const float* c, Vector d,
                            float* dc, Vector (&dz)[4][kVectors], int v) {
  const Vector i = load(gate), f = load(gate + kPanel);
  const Vector o = load(gate + 2 * kPanel), u = load(gate + 3 * kPanel);
  const Vector tanh_c = tanh(load(c));
  const Vector k = load(dc) + d * o * (1.0f - tanh_c * tanh_c);
  dz[0][v] = k * u * i * (1.0f - i);
  dz[1][v] = k * load(c_before) * f * (1.0f - f);
  dz[2][v] = d * tanh_c * o * (1.0f - o);
  dz[3][v] = k * i * (1.0f - u * u);
  store(dc, k * f);
}

// From dh and dc after step t to dz of step t, dc before it, and the gradient of table_zx. `dh`
// becomes what of it goes past the gates: all for a sequence that has ended, nothing else.
inline void gates_backward(const Sequence& s, const Gradients& g, int64_t t, int64_t panel) {
  const Columns columns(s.hidden, panel);
  const int64_t unit = panel * kPanel, first_row = t * s.batch;
  const float *gates = s.gates_row(panel, t, 0), *c = s.c_row(panel, t + 1, 0);
  const float* c_before = s.c_row(panel, t, 0);
  float *dh_tile = g.dh + unit * s.batch, *dc_tile = g.dc + unit * s.batch;
  for (int64_t b = 0; b < s.batch; b++) {
    if (b + kAhead < s.batch) ask_for_gates(s, g, t, panel, b + kAhead);
    float *dh = dh_tile + b * kPanel, *dc = dc_tile + b * kPanel;
    float* dz_row = g.dz + (first_row + b) * g.dz_stride + unit;
    Vector d[kVectors], dz[4][kVectors] = {};
    columns.load(g.h + (first_row + b) * s.hidden + unit, d);
    for (int v = 0; v < kVectors; v++) d[v] += load(dh + v * kLanes);
    const bool ended = s.has_ended(b, t);
    for (int v = 0; v < kVectors; v++) store(dh + v * kLanes, ended ? d[v] : Vector{});
    if (!ended) {
      float* table = g.table_zx_row(s, panel, t, b);
      for (int v = 0; v < kVectors; v++) {
        const int64_t at = b * kPanel + v * kLanes;
        vector_backward(gates + b * 4 * kPanel + v * kLanes, c_before + at, c + at, d[v],
                        dc + v * kLanes, dz, v);
        for (int q = 0; q < 4; q++) {
          float* sum = table + q * kPanel + v * kLanes;
          store(sum, load(sum) + dz[q][v]);
        }
      }
    }
    for (int q = 0; q < 4; q++) columns.store(dz_row + q * s.hidden, dz[q]);
  }
}

// From dm (one panel's tile) to dhm = dm * table_mx[byte] and the gradient of table_mx.
inline void multiplicative_backward(const Sequence& s, const Gradients& g, int64_t t,
                                    int64_t panel) {
  const Columns columns(s.hidden, panel);
  for (int64_t b = 0; b < s.batch; b++) {
    float* dhm = g.dhm + (t * s.batch + b) * g.dhm_stride + panel * kPanel;
    if (b + kAhead < s.batch) {
      prefetch(s.hm_row(panel, t, b + kAhead), kPanel);
      prefetch(s.table_mx_row(panel, t, b + kAhead), kPanel);
      prefetch_to_write(g.table_mx_row(s, panel, t, b + kAhead), kPanel);
      prefetch_to_write(dhm + kAhead * g.dhm_stride, kPanel);
    }
    const float *hm = s.hm_row(panel, t, b), *mx = s.table_mx_row(panel, t, b);
    float* table = g.table_mx_row(s, panel, t, b);
    Vector made[kVectors];
    for (int v = 0; v < kVectors; v++) {
      const int lane = v * kLanes;
      const Vector dm = load(g.dm + (panel * s.batch + b) * kPanel + lane);
      store(table + lane, load(table + lane) + dm * load(hm + lane));
      made[v] = dm * load(mx + lane);
    }
    columns.store(dhm, made);
  }
}

// The gradients that a panel begins with.
inline void begin_backward(const Sequence& s, const Gradients& g, int64_t panel) {
  const int64_t tile = s.batch * kPanel;
  copy_in(s, panel, g.h_last, g.dh + panel * tile);
  copy_in(s, panel, g.c_last, g.dc + panel * tile);
  std::fill_n(g.table_zx + panel * 256 * 4 * kPanel, 256 * 4 * kPanel, 0.0f);
  if (s.multiplicative) std::fill_n(g.table_mx + panel * 256 * kPanel, 256 * kPanel, 0.0f);
}

// What one thread does of the whole sequence.
inline void backward(const Sequence& s, const Gradients& g, const Team& team) {
  const int64_t tile = s.batch * kPanel, group = panels_at_once(s.batch);
  team.for_each_panel(group, [&](int64_t first, int64_t count) {
    for (int64_t p = first; p < first + count; p++) {
      begin_backward(s, g, p);
      gates_backward(s, g, s.steps - 1, p);
    }
  });
  for (int64_t t = s.steps - 1; t >= 0; t--) {
    Rows x{g.dz + t * s.batch * g.dz_stride, g.dz_stride, s.batch};
    int64_t depth = 4 * s.hidden;
    const float* weights = g.w_z;
    if (s.multiplicative) {
      team.for_each_panel(group, [&](int64_t first, int64_t count) {
        multiply(x, weights + first * depth * kPanel, count, depth,
                 {g.dm + first * tile, tile, kPanel});
        for (int64_t p = first; p < first + count; p++) multiplicative_backward(s, g, t, p);
      });
      x = Rows{g.dhm + t * s.batch * g.dhm_stride, g.dhm_stride, s.batch};
      depth = s.hidden;
      weights = g.w_m;
    }
    team.for_each_panel(group, [&](int64_t first, int64_t count) {
      multiply(x, weights + first * depth * kPanel, count, depth,
               {g.dh + first * tile, tile, kPanel}, true);
      for (int64_t p = first; p < first + count; p++) {
        if (t > 0) {
          gates_backward(s, g, t - 1, p);
        } else {
          copy_out(s, p, g.dh + p * tile, g.h0);
          copy_out(s, p, g.dc + p * tile, g.c0);
        }
      }
    });
  }
}

}  // namespace radford
