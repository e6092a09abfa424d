// The recurrence forwards.
#pragma once

#include "matmul.h"
#include "sequence.h"
#include "threads.h"

namespace radford {

// m = (h W_mh) * table_mx[byte] of step t for one panel of units; `hm` holds the product.
inline void multiplicative_state(const Sequence& s, int64_t t, int64_t panel, const float* hm,
                                 float* m) {
  const Columns columns(s.hidden, panel);
  for (int64_t b = 0; b < s.batch; b++) {
    if (b + kAhead < s.batch) {
      prefetch(s.table_mx_row(panel, t, b + kAhead), kPanel);
      prefetch_to_write(m + (b + kAhead) * s.m_stride, kPanel);
    }
    const float* mx = s.table_mx_row(panel, t, b);
    Vector product[kVectors];
    for (int v = 0; v < kVectors; v++)
      product[v] = load(hm + b * kPanel + v * kLanes) * load(mx + v * kLanes);
    columns.store(m + b * s.m_stride, product);
  }
}

// The gates of one vector of units, into `z` if they are kept, and c; returns h. `z` holds the
// recurrent product, `zx` is what the byte adds.
inline Vector update_vector(float* z, const float* zx, const float* c_before, float* c, bool keep) {
  const Vector i = sigmoid(load(z) + load(zx));
  const Vector f = sigmoid(load(z + kPanel) + load(zx + kPanel));
  const Vector o = sigmoid(load(z + 2 * kPanel) + load(zx + 2 * kPanel));
  const Vector u = tanh(load(z + 3 * kPanel) + load(zx + 3 * kPanel));
  const Vector c_new = f * load(c_before) + i * u;
  store(c, c_new);
  if (keep) {
    store(z, i);
    store(z + kPanel, f);
    store(z + 2 * kPanel, o);
    store(z + 3 * kPanel, u);
  }
  return o * tanh(c_new);
}

// One LSTM update of one panel of units; c_before and c may be the same.
inline void update_state(const Sequence& s, int64_t t, int64_t panel, float* gates,
                         const float* c_before, float* c, const float* h_before, float* h) {
  const Columns columns(s.hidden, panel);
  for (int64_t b = 0; b < s.batch; b++) {
    if (b + kAhead < s.batch) {
      prefetch(s.table_zx_row(panel, t, b + kAhead), 4 * kPanel);
      prefetch(c_before + (b + kAhead) * kPanel, kPanel);
      prefetch_to_write(c + (b + kAhead) * kPanel, kPanel);
      prefetch_to_write(h + (b + kAhead) * s.hidden, kPanel);
    }
    Vector h_new[kVectors];
    if (s.has_ended(b, t)) {
      std::memmove(c + b * kPanel, c_before + b * kPanel, kPanel * sizeof(float));
      columns.load(h_before + b * s.hidden, h_new);
    } else {
      const float* zx = s.table_zx_row(panel, t, b);
      for (int v = 0; v < kVectors; v++) {
        const int64_t at = b * kPanel + v * kLanes;
        h_new[v] = update_vector(gates + b * 4 * kPanel + v * kLanes, zx + v * kLanes,
                                 c_before + at, c + at, s.keep);
      }
    }
    columns.store(h + b * s.hidden, h_new);
  }
}

// What one thread does of the whole sequence.
inline void forward(const Sequence& s, const Team& team) {
  const int64_t panels = s.panels(), tile = s.batch * kPanel, plane = panels * tile;
  const int64_t group = panels_at_once(s.batch);
  for (int64_t t = 0; t < s.steps; t++) {
    const int64_t kept = s.keep ? t : 0;
    const float* h_before = t ? s.h + (t - 1) * s.batch * s.hidden : s.h0;
    Rows x{h_before, s.hidden, s.batch};
    if (s.multiplicative) {
      float *hm = s.hm + kept * plane, *m = s.m + kept * s.batch * s.m_stride;
      team.for_each_panel(group, [&](int64_t first, int64_t count) {
        multiply(x, s.w_m + first * s.hidden * kPanel, count, s.hidden,
                 {hm + first * tile, tile, kPanel});
        for (int64_t p = first; p < first + count; p++)
          multiplicative_state(s, t, p, hm + p * tile, m + p * kPanel);
      });
      x = Rows{m, s.m_stride, s.batch};
    }
    float* c_before = s.c + kept * plane;
    float* c = s.keep ? s.c + (t + 1) * plane : s.c;
    float* h = s.h + t * s.batch * s.hidden;
    team.for_each_panel(group, [&](int64_t first, int64_t count) {
      for (int64_t p = first; p < first + count; p++) {
        // one tile for all panels of a thread stays in its first-level cache
        float* gates = s.gates + (s.keep ? t * panels + p : team.id) * 4 * tile;
        multiply(x, s.w_z + p * 4 * s.hidden * kPanel, 4, s.hidden, {gates, kPanel, 4 * kPanel});
        if (t == 0) copy_in(s, p, s.c0, c_before + p * tile);
        update_state(s, t, p, gates, c_before + p * tile, c + p * tile, h_before + p * kPanel,
                     h + p * kPanel);
        if (t == s.steps - 1) copy_out(s, p, c + p * tile, s.c_last);
      }
    });
  }
}

}  // namespace radford
