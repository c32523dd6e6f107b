#include "tests/sim/fibers.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <utility>

#include "replication/base/status.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace tidemark::sim {
namespace {

constexpr size_t kStackBytes = 1u << 20;  // RocksDB runs on them too
constexpr size_t kGuardBytes = 4096;

// Stacks are used again: making one costs more than a short life on it.
std::vector<void*>& IdleStacks() {
  static std::vector<void*> stacks;
  return stacks;
}

void* TakeStack() {
  if (!IdleStacks().empty()) {
    void* stack = IdleStacks().back();
    IdleStacks().pop_back();
    return stack;
  }
  void* stack = ::mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TM_CHECK(stack != MAP_FAILED);
  TM_CHECK(::mprotect(stack, kGuardBytes, PROT_NONE) == 0);
  return stack;
}

Fibers* entering = nullptr;  // makecontext's functions take no pointers

}  // namespace

struct Fibers::Fiber {
  ucontext_t context = {};
  std::function<void()> body;
  void* stack = nullptr;
  const void* signal = nullptr;  // waits for it
  bool done = false;
  void* fake_stack = nullptr;  // AddressSanitizer's
  const void* bottom = nullptr;
  size_t size = 0;
  void* tsan = nullptr;
};

Fibers::Fibers(Dice& dice, std::function<void()> stuck)
    : dice_(dice), stuck_(std::move(stuck)), home_(std::make_unique<Fiber>()) {}

Fibers::~Fibers() = default;

void Fibers::Run(std::function<void()> body) {
  TM_CHECK(current_ == nullptr);
  fibers_.clear();
#if defined(__SANITIZE_THREAD__)
  home_->tsan = __tsan_get_current_fiber();
#endif
  (void)Start(std::move(body));
  current_ = home_.get();
  SwitchTo(Pick());
  current_ = nullptr;
#if defined(__SANITIZE_THREAD__)
  for (const auto& fiber : fibers_) __tsan_destroy_fiber(fiber->tsan);
#endif
}

uint64_t Fibers::Start(std::function<void()> party) {
  auto fiber = std::make_unique<Fiber>();
  fiber->body = std::move(party);
  fiber->stack = TakeStack();
  fiber->bottom = static_cast<char*>(fiber->stack) + kGuardBytes;
  fiber->size = kStackBytes;
  TM_CHECK(::getcontext(&fiber->context) == 0);
  fiber->context.uc_stack.ss_sp = static_cast<char*>(fiber->stack) + kGuardBytes;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  ::makecontext(&fiber->context, &Fibers::Enter, 0);
#if defined(__SANITIZE_THREAD__)
  fiber->tsan = __tsan_create_fiber(0);
#endif
  ready_.push_back(fiber.get());
  fibers_.push_back(std::move(fiber));
  return fibers_.size() - 1;
}

void Fibers::Enter() { entering->Body(); }

void Fibers::Body() {
  Arrived();
  Fiber* self = current_;
  self->body();
  self->body = nullptr;
  self->done = true;
  std::erase(ready_, self);
  WakeAll(self);
  IdleStacks().push_back(self->stack);  // nobody starts a party before we are off it
  const bool last =
      std::all_of(fibers_.begin(), fibers_.end(), [](const auto& fiber) { return fiber->done; });
  SwitchTo(last ? home_.get() : Pick());
}

Fibers::Fiber* Fibers::Pick() {
  if (ready_.empty()) stuck_();
  TM_CHECK(!ready_.empty());
  return ready_[dice_.Below(ready_.size())];
}

void Fibers::SwitchTo(Fiber* next) {
  Fiber* from = current_;
  if (next == from) return;
  current_ = next;
  entering = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from->done ? nullptr : &from->fake_stack, next->bottom,
                                 next->size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(next->tsan, 0);
#endif
  TM_CHECK(::swapcontext(&from->context, &next->context) == 0);
  Arrived();
}

void Fibers::Arrived() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(current_->fake_stack, &bottom, &size);
  if (home_->bottom == nullptr) {  // the first to arrive comes from home
    home_->bottom = bottom;
    home_->size = size;
  }
#endif
}

void Fibers::Yield() {
  if (current_ != nullptr) SwitchTo(Pick());
}

void Fibers::Wait(const void* signal) {
  current_->signal = signal;
  std::erase(ready_, current_);
  SwitchTo(Pick());
}

void Fibers::WakeOne(const void* signal) {
  for (const auto& fiber : fibers_) {
    if (fiber->signal != signal) continue;
    fiber->signal = nullptr;
    ready_.push_back(fiber.get());
    return;
  }
}

void Fibers::WakeAll(const void* signal) {
  for (const auto& fiber : fibers_) {
    if (fiber->signal != signal) continue;
    fiber->signal = nullptr;
    ready_.push_back(fiber.get());
  }
}

void Fibers::Join(uint64_t party) {
  Fiber* fiber = fibers_[party].get();
  while (!fiber->done) Wait(fiber);
}

}  // namespace tidemark::sim
