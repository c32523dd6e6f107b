// Little-endian and big-endian reading and writing over memory, with a limit that cannot be
// crossed.
//
// ByteReader never throws and never reads past its span: the first read that does not fit turns
// `ok()` false, every later read gives zero, and the caller asks once at the end. MySQL's wire and
// binlog integers are little-endian; RocksDB keys of ours are big-endian, so that they sort.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

using Bytes = std::span<const uint8_t>;

inline Bytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unaligned little-endian load of the low `width` bytes (1..8) at `from`.
inline uint64_t LoadLittleEndian(const uint8_t* from, size_t width) {
  uint64_t value = 0;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(&value, from, width);
  return value;
}

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return bytes_.size() - position_; }
  size_t position() const { return position_; }

  uint8_t U8() { return static_cast<uint8_t>(Little(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Little(2)); }
  uint32_t U24() { return static_cast<uint32_t>(Little(3)); }
  uint32_t U32() { return static_cast<uint32_t>(Little(4)); }
  uint64_t U48() { return Little(6); }
  uint64_t U56() { return Little(7); }
  uint64_t U64() { return Little(8); }
  uint32_t U32Big() { return static_cast<uint32_t>(Big(4)); }
  uint64_t U64Big() { return Big(8); }

  // An empty span (and ok() == false) if fewer than `size` bytes are left.
  Bytes Take(size_t size) {
    if (!Has(size)) return {};
    Bytes taken = bytes_.subspan(position_, size);
    position_ += size;
    return taken;
  }
  void Skip(size_t size) { (void)Take(size); }
  Bytes Rest() { return Take(remaining()); }

  // MySQL's length-encoded integer (protocol manual, "Protocol::LengthEncodedInteger"). 0xFB and
  // 0xFF are errors here.
  uint64_t PackedInteger() {
    uint8_t first = U8();
    if (first < 0xFB) return first;
    if (first == 0xFC) return Little(2);
    if (first == 0xFD) return Little(3);
    if (first == 0xFE) return Little(8);
    ok_ = false;
    return 0;
  }

 private:
  bool Has(size_t size) {
    if (ok_ && size <= remaining()) return true;
    ok_ = false;
    return false;
  }
  uint64_t Little(size_t width) {
    if (!Has(width)) return 0;
    uint64_t value = LoadLittleEndian(bytes_.data() + position_, width);
    position_ += width;
    return value;
  }
  uint64_t Big(size_t width) {
    if (!Has(width)) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | bytes_[position_ + i];
    position_ += width;
    return value;
  }

  Bytes bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

// Appends to a std::string it does not own.
class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}

  ByteWriter& U8(uint8_t value) { return Little(value, 1); }
  ByteWriter& U16(uint16_t value) { return Little(value, 2); }
  ByteWriter& U32(uint32_t value) { return Little(value, 4); }
  ByteWriter& U64(uint64_t value) { return Little(value, 8); }
  ByteWriter& U32Big(uint32_t value) { return Big(value, 4); }
  ByteWriter& U64Big(uint64_t value) { return Big(value, 8); }
  ByteWriter& Raw(Bytes bytes) {
    out_->append(AsText(bytes));
    return *this;
  }
  ByteWriter& Text(std::string_view text) {
    out_->append(text);
    return *this;
  }
  // 16-bit length, then the bytes; the text must be shorter than 65536.
  ByteWriter& Text16(std::string_view text) {
    return U16(static_cast<uint16_t>(text.size())).Text(text);
  }
  ByteWriter& Text32(std::string_view text) {
    return U32(static_cast<uint32_t>(text.size())).Text(text);
  }

 private:
  ByteWriter& Little(uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) out_->push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }
  ByteWriter& Big(uint64_t value, size_t width) {
    for (size_t i = width; i-- > 0;) out_->push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }

  std::string* out_;
};

}  // namespace tidemark
