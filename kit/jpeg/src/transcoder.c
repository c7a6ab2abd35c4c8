// One Huffman decoding of a JPEG, two results: the image at half size, and the same coefficients written again with
// restart markers.
//
// TurboJPEG's interface would decode twice. libjpeg's own keeps the coefficients of an image that is decoded in
// buffered-image mode, and hands them out for transcoding afterwards (libjpeg.txt, "Really raw data: DCT
// coefficients"). libjpeg reports errors by longjmp, which must not cross Rust frames: that is why this is C.
//
// Functions return 0, or -1 and leave a message. A transcoder serves one image and is closed also after an error; no
// image can see another's tables.

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

// From version 7 on, libjpeg calls the field that is set below by another name.
_Static_assert(JPEG_LIB_VERSION < 70, "libjpeg-turbo is built with its default interface, that of libjpeg 6b");

// Samples of a block's side at half size.
enum { HALF_BLOCK = DCTSIZE / 2 };
// A progressive file of a camera or an editor has about ten; one of thousands is an attack on our time.
enum { MAX_SCANS = 500 };

typedef struct {
  struct jpeg_error_mgr pub;  // first, so that libjpeg's pointer to it is one to the whole
  jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
} error_manager;

typedef struct {
  const unsigned char *jpeg;
  size_t len;
  struct jpeg_decompress_struct source;
  struct jpeg_compress_struct target;
  struct jpeg_destination_mgr destination;
  struct jpeg_progress_mgr progress;
  error_manager error;
} transcoder;

// `rows` rows of `stride` samples.
typedef struct {
  JSAMPLE *data;
  size_t stride;
  size_t rows;
} plane;

// ---- Errors: the first one leaves through `escape`

static void leave(j_common_ptr image) {
  error_manager *error = (error_manager *)image->err;
  image->err->format_message(image, error->message);
  longjmp(error->escape, 1);
}

// A decoder that warns has made up pixels, which is an error to us; except for bytes between the last block and the
// EOI marker, when every pixel has been decoded. Some cameras pad so.
static void on_message(j_common_ptr image, int level) {
  const struct jpeg_error_mgr *error = image->err;
  const int is_padding = error->msg_code == JWRN_EXTRANEOUS_DATA && error->msg_parm.i[1] == JPEG_EOI;
  if (level < 0 && !is_padding) leave(image);
}

static void print_nothing(j_common_ptr image) { (void)image; }

// ---- Destination: the caller's buffer, which does not grow

static void begin_output(j_compress_ptr target) { (void)target; }
static void end_output(j_compress_ptr target) { (void)target; }

static boolean output_is_full(j_compress_ptr target) {
  ERREXIT(target, JERR_BUFFER_SIZE);
  return FALSE;
}

// ---- Decoding

static void limit_scans(j_common_ptr image) {
  const struct jpeg_decompress_struct *source = (struct jpeg_decompress_struct *)image;
  if (source->input_scan_number <= MAX_SCANS) return;
  error_manager *error = (error_manager *)image->err;
  snprintf(error->message, sizeof(error->message), "The image has more than %d scans", MAX_SCANS);
  longjmp(error->escape, 1);
}

static void start_half(struct jpeg_decompress_struct *source) {
  source->buffered_image = TRUE;
  source->scale_num = 1;
  source->scale_denom = 2;
  jpeg_start_decompress(source);
}

// A file of several scans shows nothing before the last; one of a single scan is decoded row by row, while its
// coefficients are in the cache.
static void start_output(struct jpeg_decompress_struct *source) {
  if (jpeg_has_multiple_scans(source)) {
    while (jpeg_consume_input(source) != JPEG_REACHED_EOI) limit_scans((j_common_ptr)source);
  }
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

// ---- Interface

// A transcoder of the `len` bytes at `jpeg`, which must stay until it is closed; null without memory.
transcoder *kit_transcoder_open(const unsigned char *jpeg, size_t len) {
  transcoder *t = calloc(1, sizeof(transcoder));
  if (t == NULL) return NULL;
  t->source.err = t->target.err = jpeg_std_error(&t->error.pub);
  t->error.pub.error_exit = leave;
  t->error.pub.emit_message = on_message;
  t->error.pub.output_message = print_nothing;
  t->destination.init_destination = begin_output;
  t->destination.empty_output_buffer = output_is_full;
  t->destination.term_destination = end_output;
  t->progress.progress_monitor = limit_scans;
  t->jpeg = jpeg;
  t->len = len;
  return t;
}

// Releases a transcoder in whatever state it is.
void kit_transcoder_close(transcoder *t) {
  jpeg_destroy_compress(&t->target);
  jpeg_destroy_decompress(&t->source);
  free(t);
}

// Why the last call failed: a string that lives until the next one.
const char *kit_transcoder_message(const transcoder *t) { return t->error.message; }

// Reads the header. It is called first, and once.
int kit_transcoder_read_header(transcoder *t) {
  if (setjmp(t->error.escape)) return -1;
  jpeg_create_decompress(&t->source);
  jpeg_create_compress(&t->target);
  t->source.progress = &t->progress;
  t->target.dest = &t->destination;
  jpeg_mem_src(&t->source, t->jpeg, t->len);
  jpeg_read_header(&t->source, TRUE);
  return 0;
}

// Decodes a 4:2:0 image to half its size: Y, Cb and Cr, the latter two of half the size again.
int kit_transcoder_half_planes(transcoder *t, const plane planes[3]) {
  struct jpeg_decompress_struct *source = &t->source;
  if (setjmp(t->error.escape)) return -1;
  check_420(source);
  source->raw_data_out = TRUE;
  start_half(source);
  for (int i = 0; i < 3; i++) {
    // libjpeg would leave chroma as it is, since 4:2:0 at half size can be 4:4:4; a 4:2:0 encoder follows, though.
    source->comp_info[i].DCT_scaled_size = HALF_BLOCK;
    const size_t width = (size_t)source->comp_info[i].width_in_blocks * HALF_BLOCK;
    if (planes[i].stride < width) ERREXIT(source, JERR_BUFFER_SIZE);
  }
  start_output(source);
  read_planes(source, planes);
  jpeg_finish_output(source);
  return 0;
}

// Decodes an image to half its size, as interleaved samples: one a pixel (grey) or three (RGB).
int kit_transcoder_half_pixels(transcoder *t, const plane *pixels, int is_grey) {
  struct jpeg_decompress_struct *source = &t->source;
  if (setjmp(t->error.escape)) return -1;
  source->out_color_space = is_grey ? JCS_GRAYSCALE : JCS_RGB;
  start_half(source);
  const size_t width = (size_t)source->output_width * source->output_components;
  if (pixels->stride < width || pixels->rows < source->output_height) ERREXIT(source, JERR_BUFFER_SIZE);
  start_output(source);
  while (source->output_scanline < source->output_height) {
    JSAMPROW row = pixels->data + source->output_scanline * pixels->stride;
    jpeg_read_scanlines(source, &row, 1);
  }
  jpeg_finish_output(source);
  return 0;
}

// Writes the coefficients as a baseline JPEG with a restart marker every `restart_interval` MCUs, without application
// markers, to the `capacity` bytes at `out`; `len` gets its length.
int kit_transcoder_write(transcoder *t, unsigned restart_interval, unsigned char *out, size_t capacity,
                            size_t *len) {
  if (setjmp(t->error.escape)) return -1;
  jvirt_barray_ptr *coefficients = jpeg_read_coefficients(&t->source);
  check_range(&t->source, coefficients);
  t->destination.next_output_byte = out;
  t->destination.free_in_buffer = capacity;
  jpeg_copy_critical_parameters(&t->source, &t->target);
  t->target.restart_interval = restart_interval;
  jpeg_write_coefficients(&t->target, coefficients);
  jpeg_finish_compress(&t->target);
  *len = capacity - t->destination.free_in_buffer;
  return 0;
}
