// Which complaints of libjpeg are damage: the one rule of decoding, checking and transcoding.
//
// A frame is bad when a coefficient is lost or made up. What libjpeg warns about (all of jerror.h's JWRN_*):
//
//   warning              costs  what we do
//   ADOBE_XFORM          no     an unknown colour transform becomes the usual one, as in every decoder
//   JFIF_MAJOR           no     an unknown JFIF version changes nothing
//   BOGUS_ICC            no     the profile is not used
//   NOT_SEQUENTIAL       no     a sequential scan has all coefficients, whatever its header says of Ss, Se, Ah and Al
//   EXTRANEOUS_DATA      maybe  see `is_harmless_gap`
//   JPEG_EOF             maybe  see `fill`
//   HIT_MARKER           yes    blocks are filled up with zeros
//   HUFF_BAD_CODE        yes    a coefficient is made up
//   ARITH_BAD_CODE       yes    likewise
//   MUST_RESYNC          yes    a restart interval is lost or shifted
//   BOGUS_PROGRESSION    yes    a scan refines what no scan has begun
//   TOO_MUCH_DATA        yes    never: it would be a mistake of ours
//
// libjpeg reports errors by longjmp, which must not cross Rust frames: that is why this is C. Functions return 0, or -1
// and leave a message. A reader serves one image and is closed also after an error; no image can see another's tables.

#include "reader.h"

#include <stdlib.h>

// From version 7 on, libjpeg calls fields by other names.
_Static_assert(JPEG_LIB_VERSION < 70, "libjpeg-turbo is built with its default interface, that of libjpeg 6b");

// A progressive file of a camera or an editor has about ten scans; one of thousands is an attack on our time.
enum { MAX_SCANS = 500 };
// Whole bytes that the bit buffer can hold beyond the last block of an interval.
enum { BUFFERED_BYTES = 7 };
// Bytes of other content than zeros that a camera leaves between the last block of an interval and its RST marker. The
// largest seen is 17. Hundreds mean that the header does not fit the data.
enum { MAX_LEFT_OVER_BYTES = 64 };

// ---- Failing: through `escape`, with a message

static void leave(j_common_ptr image) {
  error_manager *error = (error_manager *)image->err;
  // Whatever goes wrong behind the end of the file goes wrong because of it.
  if (image->is_decompressor && ((reader *)image)->has_ended) image->err->msg_code = JWRN_JPEG_EOF;
  image->err->format_message(image, error->message);
  longjmp(error->escape, 1);
}

_Noreturn void kit_reader_fail(reader *r, int code) {
  r->error.pub.msg_code = code;
  leave((j_common_ptr)&r->source);
  abort();  // `leave` does not return
}

_Noreturn void kit_reader_refuse(reader *r, const char *why) {
  snprintf(r->error.message, sizeof(r->error.message), "%s", why);
  longjmp(r->error.escape, 1);
}

static void limit_scans(j_common_ptr image) {
  reader *r = (reader *)image;
  if (r->source.input_scan_number > MAX_SCANS) kit_reader_refuse(r, "The image has more than 500 scans");
}

// ---- Warnings

// Zeros that end in front of `at`, or of the fill bytes (0xFF) there. The zero of a stuffed 0xFF is none of them.
static size_t zeros_before(const reader *r, const JOCTET *at) {
  while (at > r->start && at[-1] == 0xFF) at--;
  const JOCTET *first = at;
  while (first > r->start && first[-1] == 0) first--;
  if (first < at && first > r->start && first[-1] == 0xFF) first++;
  return (size_t)(at - first);
}

// libjpeg has skipped `count` bytes in front of `marker`.
//
// Between segments nothing is lost; only a table may be hidden in the gap (see `check_tables`). Behind a scan or a restart
// interval all of its blocks are decoded: the gap is padding, of zeros or of what a camera's encoder had left over. So is
// all that lies in front of the EOI marker. If the gap hides a marker, the next one is not the one that is expected, and
// libjpeg says so (MUST_RESYNC).
static int is_harmless_gap(reader *r, size_t count, int marker) {
  const size_t zeros = zeros_before(r, r->has_ended ? r->end : r->bytes.next_input_byte);
  const size_t padding = zeros + r->unreported;
  r->unreported = 0;
  if (!r->is_in_scan) {
    if (count > zeros) r->has_junk = 1;
    return 1;
  }
  const int is_restart = marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7;
  return marker == JPEG_EOI || count <= padding + (is_restart ? MAX_LEFT_OVER_BYTES : 0);
}

// Where the decoder is, from what it says at every marker.
static void follow(reader *r) {
  switch (r->error.pub.msg_code) {
    case JTRC_SOS:
      r->is_in_scan = 1;
      break;
    case JTRC_RST: {
      // libjpeg counts bytes that are in its bit buffer, and reports them when it next has to look for a marker.
      const size_t zeros = r->has_ended ? 0 : zeros_before(r, r->bytes.next_input_byte - 2);
      r->unreported += zeros < BUFFERED_BYTES ? zeros : BUFFERED_BYTES;
      break;
    }
    case JTRC_DHT:
    case JTRC_DAC:
    case JTRC_DQT:
    case JTRC_DRI:
    case JTRC_APP0:
    case JTRC_APP14:
    case JTRC_JFIF:
    case JTRC_ADOBE:
    case JTRC_MISC_MARKER:
      r->is_in_scan = 0;
      break;
    default:
      break;
  }
}

static int is_harmless(reader *r) {
  const struct jpeg_error_mgr *error = &r->error.pub;
  switch (error->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      return 1;
    case JWRN_EXTRANEOUS_DATA:
      return is_harmless_gap(r, (size_t)error->msg_parm.i[0], error->msg_parm.i[1]);
    default:
      return 0;
  }
}

static void on_message(j_common_ptr image, int level) {
  if (!image->is_decompressor) {
    if (level < 0) leave(image);
  } else if (level >= 0) {
    follow((reader *)image);
  } else if (!is_harmless((reader *)image)) {
    leave(image);
  }
}

static void print_nothing(j_common_ptr image) { (void)image; }

// A baseline file without Huffman tables means the usual ones, as those of video cameras do. But one with junk among its
// segments may have had tables of its own.
static void check_tables(reader *r) {
  const struct jpeg_decompress_struct *source = &r->source;
  if (!r->has_junk || source->progressive_mode || source->arith_code) return;
  for (int c = 0; c < source->comps_in_scan; c++) {
    const jpeg_component_info *component = source->cur_comp_info[c];
    const int dc = component->dc_tbl_no, ac = component->ac_tbl_no;
    const int is_valid = dc >= 0 && dc < NUM_HUFF_TBLS && ac >= 0 && ac < NUM_HUFF_TBLS;
    if (!is_valid || source->dc_huff_tbl_ptrs[dc] == NULL) ERREXIT1(source, JERR_NO_HUFF_TABLE, dc);
  }
}

// ---- Source: bytes in memory, and the end of them

static void begin_input(j_decompress_ptr source) { (void)source; }
static void end_input(j_decompress_ptr source) { (void)source; }

// The file ends without an EOI marker. Nothing is missing if nobody needs more than such a marker: a decoder that wanted
// bits says so (HIT_MARKER), and `kit_reader_finish` counts the scans. An arithmetic decoder does not: it invents zeros.
static boolean fill(j_decompress_ptr source) {
  static const JOCTET EOI[2] = {0xFF, JPEG_EOI};
  reader *r = (reader *)source;
  if (!r->has_header || r->has_ended || source->arith_code) kit_reader_fail(r, JWRN_JPEG_EOF);
  r->has_ended = 1;
  r->bytes.next_input_byte = EOI;
  r->bytes.bytes_in_buffer = sizeof(EOI);
  return TRUE;
}

static void skip(j_decompress_ptr source, long count) {
  reader *r = (reader *)source;
  if (count <= 0) return;
  if ((size_t)count > r->bytes.bytes_in_buffer) kit_reader_fail(r, JWRN_JPEG_EOF);
  r->bytes.next_input_byte += count;
  r->bytes.bytes_in_buffer -= (size_t)count;
}

// ---- The end of a file

// Whether component `c` has all bits of its coefficients.
static int is_finished(const struct jpeg_decompress_struct *source, int c) {
  if (source->comp_info[c].quant_table == NULL) return 0;  // no scan has it
  if (source->coef_bits == NULL) return 1;
  for (int i = 0; i < DCTSIZE2; i++) {
    if (source->coef_bits[c][i] != 0) return 0;
  }
  return 1;
}

void kit_reader_finish(reader *r) {
  struct jpeg_decompress_struct *source = &r->source;
  while (!jpeg_input_complete(source)) {
    if (jpeg_consume_input(source) == JPEG_SUSPENDED) kit_reader_fail(r, JWRN_JPEG_EOF);
    limit_scans((j_common_ptr)source);
  }
  if (!r->has_ended || !jpeg_has_multiple_scans(source)) return;
  for (int c = 0; c < source->num_components; c++) {
    if (!is_finished(source, c)) kit_reader_fail(r, JWRN_JPEG_EOF);
  }
}

// ---- Interface

// A reader of the `len` bytes at `jpeg`, which must stay until it is closed; null without memory.
reader *kit_reader_open(const unsigned char *jpeg, size_t len) {
  reader *r = calloc(1, sizeof(reader));
  if (r == NULL) return NULL;
  r->source.err = r->target.err = jpeg_std_error(&r->error.pub);
  r->error.pub.error_exit = leave;
  r->error.pub.emit_message = on_message;
  r->error.pub.output_message = print_nothing;
  r->bytes.init_source = begin_input;
  r->bytes.fill_input_buffer = fill;
  r->bytes.skip_input_data = skip;
  r->bytes.resync_to_restart = jpeg_resync_to_restart;
  r->bytes.term_source = end_input;
  r->bytes.next_input_byte = r->start = jpeg;
  r->bytes.bytes_in_buffer = len;
  r->end = jpeg + len;
  r->progress.progress_monitor = limit_scans;
  return r;
}

// Releases a reader in whatever state it is.
void kit_reader_close(reader *r) {
  jpeg_destroy_compress(&r->target);
  jpeg_destroy_decompress(&r->source);
  free(r);
}

// Why the last call failed: a string that lives until the next one.
const char *kit_reader_message(const reader *r) { return r->error.message; }

// Reads the header. It is called first, and once.
int kit_reader_read_header(reader *r) {
  if (setjmp(r->error.escape)) return -1;
  jpeg_create_decompress(&r->source);
  jpeg_create_compress(&r->target);
  r->source.progress = &r->progress;
  r->source.src = &r->bytes;
  if (r->bytes.bytes_in_buffer == 0) ERREXIT(&r->source, JERR_INPUT_EMPTY);
  jpeg_read_header(&r->source, TRUE);
  r->has_header = 1;
  check_tables(r);
  return 0;
}
