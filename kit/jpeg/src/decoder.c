// Pixels of a JPEG, and its check: rows of a reader, to the last one and to the end of the file.

#include "reader.h"

static J_COLOR_SPACE space_of(int channels) {
  switch (channels) {
    case 1: return JCS_GRAYSCALE;
    case 3: return JCS_RGB;
    default: return JCS_CMYK;
  }
}

// Reads the next row, of 8, 12 or 16 bits a sample.
static void read_row(struct jpeg_decompress_struct *source, void *row) {
  if (source->data_precision <= 8) {
    JSAMPROW samples = row;
    jpeg_read_scanlines(source, &samples, 1);
  } else if (source->data_precision <= 12) {
    J12SAMPROW samples = row;
    jpeg12_read_scanlines(source, &samples, 1);
  } else {
    J16SAMPROW samples = row;
    jpeg16_read_scanlines(source, &samples, 1);
  }
}

// Decodes an image to `channels` interleaved samples a pixel, one (grey), three (RGB) or four (CMYK as it is stored), each
// of `sample_bytes` bytes: 1 for files of 8 bits and less, else 2. `samples` has `len` bytes, for rows without gaps.
int kit_reader_decode(reader *r, unsigned char *samples, size_t len, int channels, int sample_bytes) {
  struct jpeg_decompress_struct *source = &r->source;
  if (setjmp(r->error.escape)) return -1;
  source->out_color_space = space_of(channels);
  jpeg_start_decompress(source);
  const size_t row_bytes = (size_t)source->output_width * (size_t)channels * (size_t)sample_bytes;
  const int is_fitting = source->output_components == channels && row_bytes * source->output_height <= len &&
                         (source->data_precision > 8 ? 2 : 1) == sample_bytes;
  if (!is_fitting) ERREXIT(source, JERR_BUFFER_SIZE);
  while (source->output_scanline < source->output_height) {
    read_row(source, samples + source->output_scanline * row_bytes);
  }
  kit_reader_finish(r);
  return 0;
}

// Decodes an image of 8 bits and throws its pixels away. Grey at half size: all entropy-coded data are decoded, and
// little else is done.
int kit_reader_check(reader *r) {
  struct jpeg_decompress_struct *source = &r->source;
  if (setjmp(r->error.escape)) return -1;
  source->out_color_space = JCS_GRAYSCALE;
  source->scale_num = 1;
  source->scale_denom = 2;
  jpeg_start_decompress(source);
  JSAMPROW row = source->mem->alloc_large((j_common_ptr)source, JPOOL_IMAGE, source->output_width);
  while (source->output_scanline < source->output_height) jpeg_read_scanlines(source, &row, 1);
  kit_reader_finish(r);
  return 0;
}
