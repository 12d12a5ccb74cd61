/*
 * The limit: publishing, consuming and the pipeline in C, on librabbitmq. Messages are persistent and confirmed; acknowledgements
 * go out for all that is done before the next read. It decodes nothing.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONSUMING = 1, PUBLISHING = 2, CANNOT = 64 };

static amqp_connection_state_t connection;
static long total, warmup, done_count;

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

static void check_reply(const char *what) {
  check(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, what);
}

/* A number of the task, which is flat JSON. */
static long number(const char *task, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(task, key);
  return at == NULL ? 0 : atol(at + strlen(key));
}

static char *text(const char *task, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":\"", name);
  const char *at = strstr(task, key);
  check(at != NULL, name);
  at += strlen(key);
  return strndup(at, strcspn(at, "\""));
}

static void count(void) {
  done_count += 1;
  if (done_count == warmup) {
    puts("begin");
    fflush(stdout);
  } else if (done_count == total) {
    puts("end");
    fflush(stdout);
  }
}

static void publish(const char *key, amqp_bytes_t body) {
  static unsigned long next_id;
  char id[37];
  snprintf(id, sizeof id, "00000000-0000-7000-8000-%012lx", next_id++);
  amqp_table_entry_t entry = {.key = amqp_cstring_bytes("conversation_id"),
                              .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(id)}};
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_APP_ID_FLAG,
      .delivery_mode = 2,
      .content_type = amqp_cstring_bytes("application/cbor"),
      .message_id = amqp_cstring_bytes(id),
      .app_id = amqp_cstring_bytes("bench"),
      .headers = {.num_entries = 1, .entries = &entry}};
  int status = amqp_basic_publish(connection, PUBLISHING, amqp_cstring_bytes("events"), amqp_cstring_bytes(key), 0, 0,
                                  &properties, body);
  check(status == AMQP_STATUS_OK, "publishing");
}

static void next_frame(amqp_frame_t *frame) {
  amqp_maybe_release_buffers(connection);
  check(amqp_simple_wait_frame(connection, frame) == AMQP_STATUS_OK, "reading");
}

static int is_idle(void) {
  return !amqp_frames_enqueued(connection) && !amqp_data_in_buffer(connection);
}

static void publish_all(long outstanding, size_t size) {
  char *payload = calloc(1, size);
  amqp_bytes_t body = {.len = size, .bytes = payload};
  long sent = 0;
  while (done_count < total) {
    while (sent < total && sent - done_count < outstanding) {
      publish("Job", body);
      sent += 1;
    }
    amqp_frame_t frame;
    next_frame(&frame);
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) continue;
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    if (!ack->multiple) count();
    else
      while (done_count < (long)ack->delivery_tag) count();
  }
}

static void consume_all(int prefetch, int publishes) {
  enum { MOST = 65536 };
  static char confirmed[MOST];
  char *body = malloc(1 << 20);
  size_t length = 0, expected = 0;
  long received = 0, acknowledged = 0, ready = 0;
  amqp_basic_qos(connection, CONSUMING, 0, prefetch, 0);
  check_reply("qos");
  amqp_basic_consume(connection, CONSUMING, amqp_cstring_bytes("bench.events"), amqp_empty_bytes, 0, 0, 0,
                     amqp_empty_table);
  check_reply("consuming");
  while (acknowledged < total) {
    amqp_frame_t frame;
    next_frame(&frame);
    int is_complete = 0;
    if (frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
      amqp_basic_ack_t *ack = frame.payload.method.decoded;
      long tag = (long)ack->delivery_tag;
      if (ack->multiple)
        for (long each = ready + 1; each <= tag; each++) confirmed[each % MOST] = 1;
      confirmed[tag % MOST] = 1;
      while (confirmed[(ready + 1) % MOST]) {
        ready += 1;
        confirmed[ready % MOST] = 0;
        count();
      }
    } else if (frame.frame_type == AMQP_FRAME_HEADER) {
      expected = (size_t)frame.payload.properties.body_size;
      length = 0;
      is_complete = expected == 0;
    } else if (frame.frame_type == AMQP_FRAME_BODY) {
      amqp_bytes_t part = frame.payload.body_fragment;
      memcpy(body + length, part.bytes, part.len);
      length += part.len;
      is_complete = length == expected;
    }
    if (is_complete) {
      received += 1;
      if (publishes) publish("Done", (amqp_bytes_t){.len = length, .bytes = body});
      else {
        ready += 1;
        count();
      }
    }
    if (ready > acknowledged && (is_idle() || ready - acknowledged >= prefetch / 2 || ready == total)) {
      check(amqp_basic_ack(connection, CONSUMING, (uint64_t)ready, 1) == 0, "acknowledging");
      acknowledged = ready;
    }
  }
}

int main(int argc, char **argv) {
  const char *task = argv[argc - 1];
  char *scenario = text(task, "scenario"), *url = text(task, "url");
  int is_publish = strcmp(scenario, "publish") == 0, is_pipeline = strcmp(scenario, "pipeline") == 0;
  if (!is_publish && !is_pipeline && strcmp(scenario, "consume") != 0) return CANNOT;
  warmup = number(task, "warmup");
  total = warmup + number(task, "messages");

  struct amqp_connection_info where;
  check(amqp_parse_url(url, &where) == AMQP_STATUS_OK, "reading the URL");
  connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  check(amqp_socket_open(socket, where.host, where.port) == AMQP_STATUS_OK, "connecting");
  amqp_rpc_reply_t login = amqp_login(connection, where.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, where.user, where.password);
  check(login.reply_type == AMQP_RESPONSE_NORMAL, "logging in");
  amqp_channel_open(connection, CONSUMING);
  check_reply("opening a channel");
  amqp_channel_open(connection, PUBLISHING);
  check_reply("opening a channel");
  amqp_confirm_select(connection, PUBLISHING);
  check_reply("asking for confirms");
  if (is_publish) publish_all(number(task, "outstanding"), (size_t)number(task, "size"));
  else consume_all((int)number(task, "prefetch"), is_pipeline);
  getchar();
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  return 0;
}
