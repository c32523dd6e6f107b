// Parties that take turns on one thread: the pipeline's scheduler in the simulation. Each has a
// stack of its own; which of those that can go on does so next is thrown with the run's dice.
//
// Everything belongs to the one thread that calls Run. Sanitizers are told of every switch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "replication/sink/turn_scheduler.h"
#include "tests/support/dice.h"

namespace tidemark::sim {

class Fibers : public TurnScheduler {
 public:
  // `stuck` is called when no party can go on although some wait: it must not return.
  Fibers(Dice& dice, std::function<void()> stuck);
  ~Fibers() override;

  // Runs `body` as the first party; returns when it and all that were started have returned.
  void Run(std::function<void()> body);
  bool running() const { return current_ != nullptr; }
  // The turn may go to somebody else. Nothing outside Run.
  void Yield();

  uint64_t Start(std::function<void()> party) override;
  void Join(uint64_t party) override;
  void Wait(const void* signal) override;
  void WakeOne(const void* signal) override;
  void WakeAll(const void* signal) override;

 private:
  struct Fiber;
  static void Enter();
  void Body();
  Fiber* Pick();
  void SwitchTo(Fiber* next);
  void Arrived();

  Dice& dice_;
  const std::function<void()> stuck_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // by number
  std::vector<Fiber*> ready_;
  std::unique_ptr<Fiber> home_;  // Run's caller
  Fiber* current_ = nullptr;
};

}  // namespace tidemark::sim
