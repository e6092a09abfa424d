// The library's entry points: plain C, called through ctypes.
#include "backward.h"
#include "forward.h"

extern "C" {

int64_t radford_panel() { return radford::kPanel; }  // units to a panel

// Copy `count` integers to bytes; 0 if one of them is none.
int64_t radford_narrow(const int64_t* from, uint8_t* to, int64_t count) {
  int64_t all = 0;
  for (int64_t n = 0; n < count; n++) {
    all |= from[n];
    to[n] = static_cast<uint8_t>(from[n]);
  }
  return all >= 0 && all <= 255;
}

void radford_forward(const radford::Sequence* s) {
  radford::with_team(s->panels(), s->threads,
                     [s](const radford::Team& team) { radford::forward(*s, team); });
}

void radford_backward(const radford::Sequence* s, const radford::Gradients* g) {
  radford::with_team(s->panels(), s->threads,
                     [s, g](const radford::Team& team) { radford::backward(*s, *g, team); });
}

}  // extern "C"
