// One Huffman decoding of a JPEG, two results: the image at half size, and the same coefficients written again with
// restart markers.
//
// TurboJPEG's interface would decode twice. libjpeg's own keeps the coefficients of an image that is decoded in
// buffered-image mode, and hands them out for transcoding afterwards (libjpeg.txt, "Really raw data: DCT
// coefficients").
//
// Functions return 0, or -1 and leave a message.

#include "reader.h"

// Samples of a block's side at half size.
enum { HALF_BLOCK = DCTSIZE / 2 };
// Coefficients, in zigzag order, from which a decoder tells whether to smooth a progressive file.
enum { SMOOTHED_COEFFICIENTS = 10 };

// `rows` rows of `stride` samples.
typedef struct {
  JSAMPLE *data;
  size_t stride;
  size_t rows;
} plane;

// ---- Destination: the caller's buffer, which does not grow

static void begin_output(j_compress_ptr target) { (void)target; }
static void end_output(j_compress_ptr target) { (void)target; }

static boolean output_is_full(j_compress_ptr target) {
  ERREXIT(target, JERR_BUFFER_SIZE);
  return FALSE;
}

// ---- Decoding

static void start_half(struct jpeg_decompress_struct *source) {
  source->buffered_image = TRUE;
  source->scale_num = 1;
  source->scale_denom = 2;
  jpeg_start_decompress(source);
}

// A file of several scans shows nothing before the last; one of a single scan is decoded row by row, while its
// coefficients are in the cache.
static void start_output(reader *r) {
  struct jpeg_decompress_struct *source = &r->source;
  if (jpeg_has_multiple_scans(source)) kit_reader_finish(r);
  jpeg_start_output(source, source->input_scan_number);
}

static void check_420(const struct jpeg_decompress_struct *source) {
  const jpeg_component_info *c = source->comp_info;
  const int is_420 = source->num_components == 3 && c[0].h_samp_factor == 2 && c[0].v_samp_factor == 2 &&
                     c[1].h_samp_factor == 1 && c[1].v_samp_factor == 1 && c[2].h_samp_factor == 1 &&
                     c[2].v_samp_factor == 1;
  if (!is_420) ERREXIT(source, JERR_BAD_SAMPLING);
}

// Row `y` of a plane; rows beyond it, which fill up the last block, go to `spare`.
static JSAMPROW row_of(const plane *p, JSAMPROW spare, size_t y) {
  return y < p->rows ? p->data + y * p->stride : spare;
}

static void read_planes(struct jpeg_decompress_struct *source, const plane planes[3]) {
  const size_t blocks = source->comp_info[0].width_in_blocks;
  JSAMPROW spare = source->mem->alloc_large((j_common_ptr)source, JPOOL_IMAGE, blocks * HALF_BLOCK);
  JSAMPROW y_rows[2 * HALF_BLOCK], cb_rows[HALF_BLOCK], cr_rows[HALF_BLOCK];
  JSAMPARRAY rows[3] = {y_rows, cb_rows, cr_rows};
  while (source->output_scanline < source->output_height) {
    const size_t y = source->output_scanline;
    for (int i = 0; i < 2 * HALF_BLOCK; i++) y_rows[i] = row_of(&planes[0], spare, y + i);
    for (int i = 0; i < HALF_BLOCK; i++) {
      cb_rows[i] = row_of(&planes[1], spare, y / 2 + i);
      cr_rows[i] = row_of(&planes[2], spare, y / 2 + i);
    }
    jpeg_read_raw_data(source, rows, 2 * HALF_BLOCK);
  }
}

// ---- Transcoding

// Whether a baseline JPEG can express `count` blocks: DC to 11 bits, so that differences fit, AC to 10.
static int are_in_range(const JBLOCK *blocks, JDIMENSION count) {
  const JCOEF *all = blocks[0];
  JCOEF least = 0, most = 0;
  for (size_t i = 0; i < (size_t)count * DCTSIZE2; i++) {
    least = all[i] < least ? all[i] : least;
    most = all[i] > most ? all[i] : most;
  }
  if (least >= -1023 && most <= 1023) return 1;
  for (JDIMENSION b = 0; b < count; b++) {
    if (blocks[b][0] < -1024 || blocks[b][0] > 1023) return 0;
    for (int i = 1; i < DCTSIZE2; i++) {
      if (blocks[b][i] < -1023 || blocks[b][i] > 1023) return 0;
    }
  }
  return 1;
}

// Damage can lead to coefficients of any size without a warning, and libjpeg-turbo's Huffman encoder takes them for
// smaller ones: it would write a JPEG that cannot be decoded.
static void check_range(struct jpeg_decompress_struct *source, jvirt_barray_ptr *coefficients) {
  for (int c = 0; c < source->num_components; c++) {
    const jpeg_component_info *component = &source->comp_info[c];
    for (JDIMENSION y = 0; y < component->height_in_blocks; y++) {
      JBLOCKARRAY row = source->mem->access_virt_barray((j_common_ptr)source, coefficients[c], y, 1, FALSE);
      if (!are_in_range(row[0], component->width_in_blocks)) ERREXIT(source, JERR_BAD_DCT_COEF);
    }
  }
}

// A decoder smooths the blocks of a progressive file whose scans, up to its EOI marker, leave the lowest coefficients
// unfinished. Its pixels are not those of its coefficients then.
static void refuse_smoothed(reader *r) {
  const struct jpeg_decompress_struct *source = &r->source;
  if (!source->progressive_mode) return;
  for (int c = 0; c < source->num_components; c++) {
    for (int i = 0; i < SMOOTHED_COEFFICIENTS; i++) {
      if (source->coef_bits[c][i] != 0) kit_reader_refuse(r, "The scans end before the coefficients are finished");
    }
  }
}

// ---- Interface

// Decodes a 4:2:0 image to half its size: Y, Cb and Cr, the latter two of half the size again.
int kit_reader_half_planes(reader *r, const plane planes[3]) {
  struct jpeg_decompress_struct *source = &r->source;
  if (setjmp(r->error.escape)) return -1;
  check_420(source);
  source->raw_data_out = TRUE;
  start_half(source);
  for (int i = 0; i < 3; i++) {
    // libjpeg would leave chroma as it is, since 4:2:0 at half size can be 4:4:4; a 4:2:0 encoder follows, though.
    source->comp_info[i].DCT_scaled_size = HALF_BLOCK;
    const size_t width = (size_t)source->comp_info[i].width_in_blocks * HALF_BLOCK;
    if (planes[i].stride < width) ERREXIT(source, JERR_BUFFER_SIZE);
  }
  start_output(r);
  read_planes(source, planes);
  jpeg_finish_output(source);
  return 0;
}

// Decodes an image to half its size, as interleaved samples: one a pixel (grey) or three (RGB).
int kit_reader_half_pixels(reader *r, const plane *pixels, int is_grey) {
  struct jpeg_decompress_struct *source = &r->source;
  if (setjmp(r->error.escape)) return -1;
  source->out_color_space = is_grey ? JCS_GRAYSCALE : JCS_RGB;
  start_half(source);
  const size_t width = (size_t)source->output_width * source->output_components;
  if (pixels->stride < width || pixels->rows < source->output_height) ERREXIT(source, JERR_BUFFER_SIZE);
  start_output(r);
  while (source->output_scanline < source->output_height) {
    JSAMPROW row = pixels->data + source->output_scanline * pixels->stride;
    jpeg_read_scanlines(source, &row, 1);
  }
  jpeg_finish_output(source);
  return 0;
}

// Writes the coefficients as a baseline JPEG with a restart marker every `restart_interval` MCUs, without application
// markers, to the `capacity` bytes at `out`; `len` gets its length.
int kit_reader_write(reader *r, unsigned restart_interval, unsigned char *out, size_t capacity, size_t *len) {
  if (setjmp(r->error.escape)) return -1;
  jvirt_barray_ptr *coefficients = jpeg_read_coefficients(&r->source);
  kit_reader_finish(r);
  refuse_smoothed(r);
  check_range(&r->source, coefficients);
  r->destination.init_destination = begin_output;
  r->destination.empty_output_buffer = output_is_full;
  r->destination.term_destination = end_output;
  r->destination.next_output_byte = out;
  r->destination.free_in_buffer = capacity;
  r->target.dest = &r->destination;
  jpeg_copy_critical_parameters(&r->source, &r->target);
  r->target.restart_interval = restart_interval;
  jpeg_write_coefficients(&r->target, coefficients);
  jpeg_finish_compress(&r->target);
  *len = capacity - r->destination.free_in_buffer;
  return 0;
}
