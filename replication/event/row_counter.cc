#include "replication/event/row_counter.h"

#include <algorithm>

namespace tidemark {
namespace {

// include/field_types.h
enum ColumnType : uint8_t {
  kDecimal = 0,
  kTiny = 1,
  kShort = 2,
  kLong = 3,
  kFloat = 4,
  kDouble = 5,
  kNull = 6,
  kTimestamp = 7,
  kLongLong = 8,
  kInt24 = 9,
  kDate = 10,
  kTime = 11,
  kDatetime = 12,
  kYear = 13,
  kNewDate = 14,
  kVarchar = 15,
  kBit = 16,
  kTimestamp2 = 17,
  kDatetime2 = 18,
  kTime2 = 19,
  kTypedArray = 20,
  kVector = 242,
  kJson = 245,
  kNewDecimal = 246,
  kEnum = 247,
  kSet = 248,
  kTinyBlob = 249,
  kMediumBlob = 250,
  kLongBlob = 251,
  kBlob = 252,
  kVarString = 253,
  kString = 254,
  kGeometry = 255,
};

constexpr uint64_t kPartialJsonUpdates = 1;  // bit 0 of value_options
constexpr uint8_t kPackedOneByteMax = 0xFA;

ColumnSize Fixed(size_t bytes) {
  return {ColumnSize::Form::kFixed, 0, static_cast<uint16_t>(bytes), false};
}
ColumnSize Prefixed(size_t width) {
  return {ColumnSize::Form::kPrefixed, static_cast<uint8_t>(width), 0, false};
}

// Nine decimal digits to four bytes; the rest as few bytes as hold it.
size_t DecimalDigitBytes(size_t digits) {
  constexpr std::array<uint8_t, 9> kRest = {0, 1, 1, 2, 2, 3, 3, 4, 4};
  return digits / 9 * 4 + kRest[digits % 9];
}

ColumnSize DecimalSize(uint8_t precision, uint8_t scale) {
  if (scale > precision) return {};
  return Fixed(DecimalDigitBytes(precision - size_t{scale}) + DecimalDigitBytes(scale));
}

// CHAR, ENUM and SET share a type; the first metadata byte is the real one, and for CHAR also
// carries, inverted, the two high bits of the length in bytes.
ColumnSize StringSize(uint8_t real_type, uint8_t low_length) {
  if (real_type == kEnum || real_type == kSet) return Fixed(low_length);
  const unsigned high = (static_cast<unsigned>(real_type) << 4 & 0x300U) ^ 0x300U;
  return Prefixed(high + low_length > 255 ? 2 : 1);
}

size_t FractionBytes(uint8_t digits) { return (size_t{digits} + 1) / 2; }

ColumnSize BlobSize(uint8_t type, uint8_t width) {
  if (width < 1 || width > 4) return {};
  ColumnSize size = Prefixed(width);
  size.json = type == kJson;
  return size;
}

ColumnSize OneColumn(uint8_t type, ByteReader& metadata) {
  switch (type) {
    case kTiny:
    case kYear: return Fixed(1);
    case kShort: return Fixed(2);
    case kInt24:
    case kDate:
    case kTime:
    case kNewDate: return Fixed(3);
    case kLong:
    case kTimestamp: return Fixed(4);
    case kLongLong:
    case kDatetime: return Fixed(8);
    case kNull: return Fixed(0);
    case kFloat:
    case kDouble: return Fixed(metadata.U8());
    case kTimestamp2: return Fixed(4 + FractionBytes(metadata.U8()));
    case kDatetime2: return Fixed(5 + FractionBytes(metadata.U8()));
    case kTime2: return Fixed(3 + FractionBytes(metadata.U8()));
    case kVarchar: return Prefixed(metadata.U16() > 255 ? 2 : 1);
    case kBit: {
      const uint8_t rest_bits = metadata.U8();
      return Fixed(metadata.U8() + (rest_bits > 0 ? size_t{1} : 0));
    }
    case kNewDecimal: {
      const uint8_t precision = metadata.U8();
      return DecimalSize(precision, metadata.U8());
    }
    case kEnum:
    case kSet:
    case kString: {
      const uint8_t real_type = metadata.U8();
      return StringSize(real_type, metadata.U8());
    }
    case kTinyBlob:
    case kMediumBlob:
    case kLongBlob:
    case kBlob:
    case kVector:
    case kGeometry:
    case kJson: return BlobSize(type, metadata.U8());
    default: return {};  // has no metadata, as far as the server's own reader knows
  }
}

// A multi-valued index's hidden column: named in the table map, never in a row image, so only its
// metadata matters.
ColumnSize TypedArray(ByteReader& metadata) {
  const uint8_t element = metadata.U8();
  if (element == kVarchar) {
    metadata.Skip(3);
  } else {
    (void)OneColumn(element, metadata);
  }
  return {};
}

bool BitSet(const uint8_t* bits, size_t index) {
  return (bits[index >> 3] >> (index & 7) & 1) != 0;
}

uint64_t LengthAt(const uint8_t* at, size_t width) {
  switch (width) {
    case 1: return at[0];
    case 2: return LoadLittleEndian(at, 2);
    case 3: return LoadLittleEndian(at, 3);
    default: return LoadLittleEndian(at, 4);
  }
}

}  // namespace

bool ColumnSizes(Bytes types, Bytes metadata, std::vector<ColumnSize>* out) {
  ByteReader reader(metadata);
  out->clear();
  out->reserve(types.size());
  for (uint8_t type : types)
    out->push_back(type == kTypedArray ? TypedArray(reader) : OneColumn(type, reader));
  return reader.ok() && reader.remaining() == 0;
}

void RowCounter::Plan(Bytes bitmap, const std::vector<ColumnSize>& columns, Image* image) {
  size_t present = 0;
  for (size_t i = 0; i < columns.size(); ++i) present += BitSet(bitmap.data(), i) ? 1 : 0;
  image->columns = columns;
  image->null_bytes = (present + 7) / 8;
  if (present == columns.size()) return;  // as with binlog_row_image = FULL
  image->chosen.clear();
  for (size_t i = 0; i < columns.size(); ++i) {
    if (BitSet(bitmap.data(), i)) image->chosen.push_back(columns[i]);
  }
  image->columns = image->chosen;
}

void RowCounter::Begin(const RowsHeader& header, const std::vector<ColumnSize>& columns) {
  image_ = column_ = gathered_size_ = 0;
  skip_ = rows_ = 0;
  step_ = Step::kLost;
  if (header.columns != columns.size()) return;
  partial_ = header.kind == RowsKind::kPartialUpdate;
  image_count_ = header.after_columns.empty() ? 1 : 2;
  Plan(header.before_columns, columns, &images_[0]);
  if (image_count_ == 2) Plan(header.after_columns, columns, &images_[1]);
  if (partial_) {
    const auto json =
        std::count_if(columns.begin(), columns.end(), [](const ColumnSize& c) { return c.json; });
    partial_bytes_ = (static_cast<size_t>(json) + 7) / 8;
  }
  // Rows without bytes cannot be counted by their bytes.
  const size_t row_bytes_min =
      images_[0].null_bytes + (image_count_ == 2 ? images_[1].null_bytes : 0);
  if (row_bytes_min > 0) step_ = Step::kImageStart;
}

// Points to `wanted` bytes in a row, or keeps what there is and answers null until the rest comes.
const uint8_t* RowCounter::Gather(Bytes* piece, size_t wanted) {
  if (wanted == 0) return gathered_.data();
  if (gathered_size_ == 0 && piece->size() >= wanted) {
    const uint8_t* at = piece->data();
    *piece = piece->subspan(wanted);
    return at;
  }
  const size_t taken = std::min(wanted - gathered_size_, piece->size());
  std::copy_n(piece->data(), taken, gathered_.data() + gathered_size_);
  gathered_size_ += taken;
  *piece = piece->subspan(taken);
  if (gathered_size_ < wanted) return nullptr;
  gathered_size_ = 0;
  return gathered_.data();
}

void RowCounter::ImageDone() {
  column_ = 0;
  step_ = Step::kImageStart;
  if (++image_ < image_count_) return;
  image_ = 0;
  ++rows_;
}

// False when the piece is used up first.
bool RowCounter::WalkValues(Bytes* piece) {
  const std::span<const ColumnSize> columns = images_[image_].columns;
  for (; column_ < columns.size(); ++column_) {
    if (BitSet(nulls_.data(), column_)) continue;
    const ColumnSize column = columns[column_];
    uint64_t size = column.fixed_bytes;
    if (column.form == ColumnSize::Form::kPrefixed) {
      const uint8_t* length = Gather(piece, column.prefix_bytes);
      if (length == nullptr) return false;
      size = LengthAt(length, column.prefix_bytes);
    } else if (column.form == ColumnSize::Form::kUnknown) [[unlikely]] {
      step_ = Step::kLost;
      return false;
    }
    if (size > piece->size()) {
      skip_ = size - piece->size();
      ++column_;
      *piece = {};
      return false;
    }
    *piece = piece->subspan(size);
  }
  ImageDone();
  return true;
}

bool RowCounter::Advance(Bytes* piece) {
  switch (step_) {
    case Step::kImageStart:
      if (piece->empty() && image_ == 0) return false;
      step_ = partial_ && image_ == 1 ? Step::kOptions : Step::kNullBits;
      return true;
    case Step::kOptions: {
      const uint8_t* options = Gather(piece, 1);
      if (options == nullptr) return false;
      step_ = (*options & kPartialJsonUpdates) != 0 ? Step::kPartialBits : Step::kNullBits;
      if (*options > kPackedOneByteMax) step_ = Step::kLost;  // options from the future
      return true;
    }
    case Step::kPartialBits:
      if (Gather(piece, partial_bytes_) == nullptr) return false;
      step_ = Step::kNullBits;
      return true;
    case Step::kNullBits: {
      const size_t size = images_[image_].null_bytes;
      const uint8_t* bits = Gather(piece, size);
      if (bits == nullptr) return false;
      std::copy_n(bits, size, nulls_.data());
      step_ = Step::kValues;
      return true;
    }
    case Step::kValues: return WalkValues(piece);
    case Step::kLost: return false;
  }
  return false;
}

void RowCounter::Feed(Bytes piece) {
  if (skip_ > 0) {
    const size_t skipped = static_cast<size_t>(std::min<uint64_t>(skip_, piece.size()));
    skip_ -= skipped;
    piece = piece.subspan(skipped);
    if (skip_ > 0) return;
  }
  while (Advance(&piece)) {
  }
}

std::optional<uint64_t> RowCounter::Rows() const {
  const bool between_rows =
      step_ == Step::kImageStart && image_ == 0 && gathered_size_ == 0 && skip_ == 0;
  if (!between_rows) return std::nullopt;
  return rows_;
}

}  // namespace tidemark
