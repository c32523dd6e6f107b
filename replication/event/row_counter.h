// Counts the rows of a rows event by walking its row images, however the bytes come.
//
// Pure; memory is bounded by the number of columns, not by the event. A type or layout it does not
// know makes the count unknown, never an error: what cannot be counted is archived all the same.
// Source of facts: MySQL 9.7 libs/mysql/binlog/event/binary_log_funcs.cpp (calc_field_size),
// sql/rpl_utility.cc (read_field_metadata).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/event/rows_event.h"

namespace tidemark {

// How many bytes a value takes in a row image.
struct ColumnSize {
  enum class Form : uint8_t { kFixed, kPrefixed, kUnknown };
  Form form = Form::kUnknown;
  uint8_t prefix_bytes = 0;  // kPrefixed: width of the length in front of the value
  uint16_t fixed_bytes = 0;  // kFixed
  bool json = false;         // has a bit in a partial update's bitmap
};

// One per column, in order; false if types and metadata do not go together.
[[nodiscard]] bool ColumnSizes(Bytes types, Bytes metadata, std::vector<ColumnSize>* out);

class RowCounter {
 public:
  // Starts on a rows event of a table with these columns, which must outlive the counting. Copies
  // the bitmaps.
  void Begin(const RowsHeader& header, const std::vector<ColumnSize>& columns);
  // The bytes behind the header, without the checksum, in pieces of any size.
  void Feed(Bytes piece);
  // After the last piece; nothing if the rows could not be counted.
  std::optional<uint64_t> Rows() const;

 private:
  enum class Step : uint8_t { kImageStart, kOptions, kPartialBits, kNullBits, kValues, kLost };
  struct Image {
    std::span<const ColumnSize>
        columns;  // those present in the image: the table's own, or `chosen`
    std::vector<ColumnSize> chosen;
    size_t null_bytes = 0;
  };

  static void Plan(Bytes bitmap, const std::vector<ColumnSize>& columns, Image* image);
  const uint8_t* Gather(Bytes* piece, size_t wanted);
  bool WalkValues(Bytes* piece);
  bool Advance(Bytes* piece);
  void ImageDone();

  std::array<Image, 2> images_;
  size_t image_count_ = 1;
  size_t image_ = 0;  // the one under way
  bool partial_ = false;
  size_t partial_bytes_ = 0;
  Step step_ = Step::kLost;
  size_t column_ = 0;  // next value within the image
  uint64_t skip_ = 0;  // bytes of a value still to come
  uint64_t rows_ = 0;
  std::array<uint8_t, kColumnsMax / 8> nulls_{};
  std::array<uint8_t, kColumnsMax / 8> gathered_{};
  size_t gathered_size_ = 0;
};

}  // namespace tidemark
