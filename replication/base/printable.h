// Text from elsewhere (statements, names, reasons, other servers' messages) on its way to a
// terminal or a log, where some characters are commands.
#pragma once

#include <string>
#include <string_view>

namespace tidemark {

// `text` with a '?' for each byte that is not UTF-8, and for each character that a terminal does
// not show but obeys: controls (C0 but newline and tab, DEL, C1; ECMA-48) and those that turn the
// direction of writing (Unicode UAX #9, "explicit directional formatting").
std::string Printable(std::string_view text);

}  // namespace tidemark
