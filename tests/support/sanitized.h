// Whether this is a sanitizer's build, in which a process's memory says nothing.
#pragma once

namespace tidemark::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace tidemark::testing
