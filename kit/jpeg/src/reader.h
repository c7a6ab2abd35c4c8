// One JPEG that libjpeg reads from memory: what decoder.c and transcoder.c share. reader.c says what is damage.

#ifndef KIT_JPEG_READER_H
#define KIT_JPEG_READER_H

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>

typedef struct {
  struct jpeg_error_mgr pub;  // first, so that libjpeg's pointer to it is one to the whole
  jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
} error_manager;

typedef struct {
  struct jpeg_decompress_struct source;  // first, so that libjpeg's pointer to it is one to the whole
  struct jpeg_compress_struct target;
  struct jpeg_source_mgr bytes;
  struct jpeg_destination_mgr destination;
  struct jpeg_progress_mgr progress;
  error_manager error;
  const JOCTET *start;
  const JOCTET *end;
  int has_header;      // the first scan has been reached
  int has_ended;       // all bytes were read, and an EOI marker that is not in the file was made up
  int is_in_scan;      // entropy-coded data were the last that was read
  int has_junk;        // something that is no padding lay between two segments
  size_t unreported;   // padding that libjpeg has counted and not yet reported
} reader;

// Fails with the message of `code`.
_Noreturn void kit_reader_fail(reader *r, int code);

// Fails with a message of our own.
_Noreturn void kit_reader_refuse(reader *r, const char *why);

// Reads on until the end of a file whose scans are all decoded, and fails if it lacks some of them.
void kit_reader_finish(reader *r);

#endif
