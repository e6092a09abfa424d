// What a sequence is made of. Both structures have a twin in sequence.py, field for field.
//
// A panel is kPanel units. Row-major matrices (h, m, dz, dhm) are what torch multiplies too; what
// only these kernels read lies in tiles, [step][panel][batch][..], each panel's own: gates with
// 4 * kPanel columns in the order i, f, o, u, others with kPanel. Units beyond `hidden` are zero.
#pragma once

#include "vector.h"

namespace radford {

constexpr int kAhead = 6;  // rows by which to ask for a table's or a matrix's: they are far apart

struct Sequence {
  int64_t steps, batch, hidden, threads;
  int64_t multiplicative;  // 1: mLSTM; 0: LSTM, without w_m, table_mx, hm and m
  int64_t keep;            // 1: gates, c, hm and m of every step; 0: of one
  int64_t m_stride;
  const uint8_t* bytes;    // (steps, batch)
  const int64_t* lengths;  // (batch), or null: sequence b keeps its state from step lengths[b] on
  const float* table_zx;   // [panel][256][4][kPanel]
  const float* table_mx;   // [panel][256][kPanel]
  const float* w_z;        // [panel][4][hidden][kPanel]
  const float* w_m;        // [panel][hidden][kPanel]
  const float* h0;         // (batch, hidden)
  const float* c0;         // (batch, hidden)
  float* h;                // (steps, batch, hidden)
  float* c_last;           // (batch, hidden)
  float* gates;            // tiles
  float* c;                // tiles, one step more if kept: the first is c0
  float* hm;               // tiles, h W_mh
  float* m;                // (steps, batch), rows m_stride apart

  int64_t panels() const { return (hidden + kPanel - 1) / kPanel; }
  bool has_ended(int64_t b, int64_t t) const { return lengths && t >= lengths[b]; }

  // Where row b of step t has its part of a panel; of c it is the state before step t.
  int64_t entry(int64_t panel, int64_t t, int64_t b) const {
    return panel * 256 + bytes[t * batch + b];
  }
  const float* table_zx_row(int64_t panel, int64_t t, int64_t b) const {
    return table_zx + entry(panel, t, b) * 4 * kPanel;
  }
  const float* table_mx_row(int64_t panel, int64_t t, int64_t b) const {
    return table_mx + entry(panel, t, b) * kPanel;
  }
  int64_t tile_row(int64_t panel, int64_t t, int64_t b) const {
    return (t * panels() + panel) * batch + b;
  }
  const float* gates_row(int64_t panel, int64_t t, int64_t b) const {
    return gates + tile_row(panel, t, b) * 4 * kPanel;
  }
  const float* c_row(int64_t panel, int64_t t, int64_t b) const {
    return c + tile_row(panel, t, b) * kPanel;
  }
  const float* hm_row(int64_t panel, int64_t t, int64_t b) const {
    return hm + tile_row(panel, t, b) * kPanel;
  }
};

struct Gradients {
  int64_t dz_stride, dhm_stride;
  const float* w_z;     // [panel][4 * hidden][kPanel], transposed
  const float* w_m;     // [panel][hidden][kPanel], transposed
  const float* h;       // (steps, batch, hidden), of every step's h
  const float* h_last;  // (batch, hidden), of the state's own two outputs
  const float* c_last;
  float* h0;            // (batch, hidden)
  float* c0;
  float* table_zx;      // as in Sequence
  float* table_mx;
  float* dz;            // (steps, batch), rows dz_stride apart, of 4 * hidden
  float* dhm;           // (steps, batch), rows dhm_stride apart, of hidden
  float* dh;            // scratch: one step's tiles
  float* dc;
  float* dm;

  float* table_zx_row(const Sequence& s, int64_t panel, int64_t t, int64_t b) const {
    return table_zx + s.entry(panel, t, b) * 4 * kPanel;
  }
  float* table_mx_row(const Sequence& s, int64_t panel, int64_t t, int64_t b) const {
    return table_mx + s.entry(panel, t, b) * kPanel;
  }
};

// The columns of a row-major matrix that are a panel's; the last panel may have fewer.
class Columns {
 public:
  Columns(int64_t hidden, int64_t panel) {
    const int64_t left = hidden - panel * kPanel;
    count_ = left < kPanel ? static_cast<int>(left) : kPanel;
  }
  void load(const float* from, Vector* to) const {
    if (count_ < kPanel) {
      for (int v = 0; v < kVectors; v++) to[v] = Vector{};
      std::memcpy(to, from, count_ * sizeof(float));
    } else {
      for (int v = 0; v < kVectors; v++) to[v] = radford::load(from + v * kLanes);
    }
  }
  void store(float* to, const Vector* from) const {
    if (count_ < kPanel)
      std::memcpy(to, from, count_ * sizeof(float));
    else
      for (int v = 0; v < kVectors; v++) radford::store(to + v * kLanes, from[v]);
  }

 private:
  int count_;
};

// One panel of a (batch, hidden) matrix into its tile, and back.
inline void copy_in(const Sequence& s, int64_t panel, const float* matrix, float* tile) {
  const Columns columns(s.hidden, panel);
  for (int64_t b = 0; b < s.batch; b++) {
    Vector row[kVectors];
    columns.load(matrix + b * s.hidden + panel * kPanel, row);
    std::memcpy(tile + b * kPanel, row, sizeof row);
  }
}

inline void copy_out(const Sequence& s, int64_t panel, const float* tile, float* matrix) {
  const Columns columns(s.hidden, panel);
  for (int64_t b = 0; b < s.batch; b++) {
    Vector row[kVectors];
    std::memcpy(row, tile + b * kPanel, sizeof row);
    columns.store(matrix + b * s.hidden + panel * kPanel, row);
  }
}

}  // namespace radford
