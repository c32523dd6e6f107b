// Blocking work out of a coroutine: done by a pool's thread, its result brought back.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace tidemark {

// `co_await InPool(pool, work)` gives what work() gives, on the thread that the coroutine was on.
// The coroutine cannot be destroyed meanwhile: `work` may refer to what its frame owns.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> InPool(boost::asio::thread_pool& pool,
                                                           Work work) {
  namespace asio = boost::asio;
  std::optional<std::invoke_result_t<Work&>> result;
  std::exception_ptr thrown;
  auto start = [&](auto resume) {
    // Keeps the io_context running until the coroutine has been resumed.
    auto home = asio::make_work_guard(asio::get_associated_executor(resume));
    asio::post(pool, [&, resume = std::move(resume), home = std::move(home)]() mutable {
      try {
        result.emplace(work());
      } catch (...) {
        thrown = std::current_exception();
      }
      asio::post(home.get_executor(), std::move(resume));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(start, asio::use_awaitable);
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(*result);
}

}  // namespace tidemark
