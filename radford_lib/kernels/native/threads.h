// Threads that live as long as a sequence, share the panels of each stage, and meet after it.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace radford {

// A barrier that spins: stages last tens of microseconds, and OpenMP's own barrier sleeps where
// OMP_WAIT_POLICY is passive. It yields once the others are late: their core may be another's.
class Barrier {
 public:
  // Wait for all threads; the last to come calls before_leaving() first.
  template <class Work>
  void wait(int threads, Work before_leaving) {
    const int phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
      before_leaving();
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++)
      if (spins < kSpins)
        pause();
      else
        std::this_thread::yield();
  }

 private:
  static constexpr int kSpins = 4000;  // some tens of microseconds

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::atomic<int> arrived_{0}, phase_{0};
};

// Panels of a stage that no thread has taken yet. Their owner takes the first, others the last.
class Share {
 public:
  void reset(int64_t first, int64_t last) {
    ends_.store(pack(first, last), std::memory_order_relaxed);
  }

  // Take up to `count`, from `*taken` on; returns how many.
  int64_t take_first(int64_t count, int64_t* taken) { return take(count, taken, true); }
  int64_t take_last(int64_t count, int64_t* taken) { return take(count, taken, false); }

 private:
  int64_t take(int64_t count, int64_t* taken, bool from_first) {
    uint64_t ends = ends_.load(std::memory_order_relaxed);
    for (;;) {
      const int64_t first = ends >> 32, last = ends & 0xffffffff;
      const int64_t found = std::min(count, last - first);
      if (found == 0) return 0;
      *taken = from_first ? first : last - found;
      const uint64_t rest = from_first ? pack(first + found, last) : pack(first, last - found);
      if (ends_.compare_exchange_weak(ends, rest, std::memory_order_relaxed)) return found;
    }
  }
  static uint64_t pack(uint64_t first, uint64_t last) { return first << 32 | last; }

  alignas(64) std::atomic<uint64_t> ends_{0};  // first and end: one word, to change together
};

// One of the threads that compute a sequence.
class Team {
 public:
  // Call stage(first, count) for all panels, `group` or fewer at a time, and return when all threads
  // are done. A thread does an even share, always the same, and then helps those that are late:
  // cores are slower or busier than each other. No result depends on who does what.
  template <class Stage>
  void for_each_panel(int64_t group, Stage stage) const {
    if (threads == 1) {
      for (int64_t p = 0; p < panels; p += group) stage(p, std::min(group, panels - p));
      return;
    }
    int64_t p;
    while (const int64_t count = shares[id].take_first(group, &p)) stage(p, count);
    for (int other = (id + 1) % threads; other != id; other = (other + 1) % threads)
      while (const int64_t count = shares[other].take_last(group, &p)) stage(p, count);
    meet();
  }

  void meet() const {
    barrier->wait(threads, [this] {
      for (int n = 0; n < threads; n++)
        shares[n].reset(panels * n / threads, panels * (n + 1) / threads);
    });
  }

  int64_t panels;
  int id, threads;
  Share* shares;
  Barrier* barrier;
};

// Run work(team) on up to `threads` threads, and no more than there are panels.
template <class Work>
void with_team(int64_t panels, int64_t threads, Work work) {
  threads = std::min(threads, panels);
  if (threads <= 1) return work(Team{panels, 0, 1, nullptr, nullptr});
  Barrier barrier;
  std::vector<Share> shares(threads);
#pragma omp parallel num_threads(static_cast<int>(threads))
  {
    const Team team{panels, omp_get_thread_num(), omp_get_num_threads(), shares.data(), &barrier};
    if (team.threads > 1) team.meet();  // where shares are dealt
    work(team);
  }
}

}  // namespace radford
