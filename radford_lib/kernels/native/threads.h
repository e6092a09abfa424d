// Threads that live as long as a sequence, each with its own panels, and meet after every stage.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace radford {

// A barrier that spins: stages last tens of microseconds, and OpenMP's own barrier sleeps where
// OMP_WAIT_POLICY is passive. It yields once the others are late: their core may be another's.
class Barrier {
 public:
  void wait(int threads) {
    const int phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
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

struct Team {
  int64_t first, last;  // this thread's panels
  int threads;
  Barrier* barrier;

  void wait() const {
    if (threads > 1) barrier->wait(threads);
  }
};

// Run work(team) on up to `threads` threads, which share the panels evenly.
template <class Work>
void share_panels(int64_t panels, int64_t threads, Work work) {
  if (threads == 1) {
    work(Team{0, panels, 1, nullptr});
    return;
  }
  Barrier barrier;
#pragma omp parallel num_threads(static_cast<int>(threads))
  {
    const int id = omp_get_thread_num(), count = omp_get_num_threads();
    work(Team{panels * id / count, panels * (id + 1) / count, count, &barrier});
  }
}

}  // namespace radford
