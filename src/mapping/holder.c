/* mapping/holder.c - see holder.h.
 *
 * Theory of operation. A refresh is due when a third of the lease is over, so two of them may be lost. What failed is
 * tried again after 1 s, 2 s, and so on to a minute; what the manager put off, when it said.
 *
 * Two records of one sequence are never to be: whoever saw one of them could not tell which is newer. A holder that has
 * forgotten what it said is kept from that by its counter, which begins anywhere in half of the range (COUNTER_MASK),
 * so that the other half is there to count on; models/sequence.pml shows that nothing less will do. */
#include "mapping/holder.h"

#include <errno.h>

#define COUNTER_MASK (UINT32_MAX >> 1)

const char *holder_state_name(enum holder_state state)
{
    static const char *const names[] = { [HOLDER_IDLE] = "idle",
                                         [HOLDER_TRYING] = "trying",
                                         [HOLDER_REGISTERED] = "registered",
                                         [HOLDER_UNKNOWN] = "unknown",
                                         [HOLDER_REFUSED] = "refused" };

    return names[state];
}

void holder_init(struct holder *h, const uint8_t ed25519_seed[IDENT_KEY_LEN], const struct tag *issuer,
                 const struct tag *subject, uint8_t kind, uint8_t answer, uint32_t lease_s, uint32_t boot_epoch,
                 uint32_t counter)
{
    *h = (struct holder){ .issuer = *issuer,
                          .subject = *subject,
                          .kind = kind,
                          .answer = answer,
                          .lease_s = lease_s,
                          .seq = (uint64_t)boot_epoch << 32 | (counter & COUNTER_MASK),
                          .counter = counter & COUNTER_MASK,
                          .next = INSTANT_NEVER,
                          .retry = HOLDER_RETRY_MIN };
    memcpy(h->seed, ed25519_seed, IDENT_KEY_LEN);
}

void holder_deinit(struct holder *h)
{
    explicit_bzero(h->seed, sizeof(h->seed));
}

/* Signs what it has under the next sequence. 0, -EINVAL or -ENOMEM. */
static int sign(struct holder *h)
{
    struct record r = { .type = RECORD_BINDING,
                        .issuer = h->issuer,
                        .subject = h->subject,
                        .seq = h->seq + 1,
                        .kind = h->kind,
                        .answer = h->answer,
                        .lease_s = h->lease_s,
                        .targets_count = (uint8_t)h->targets_count };
    size_t len;
    int e;

    memcpy(r.targets, h->targets, h->targets_count * sizeof(r.targets[0]));
    r.details_len = (uint16_t)h->details_len;
    memcpy(r.details, h->details, h->details_len);
    e = record_encode(&r, h->seed, h->record, sizeof(h->record), &len);
    if (e < 0)
        return e;
    h->seq++;
    h->record_len = len;
    h->has_told = false;
    return 0;
}

static bool same_target(const struct record_target *a, const struct record_target *b)
{
    return a->is_locator == b->is_locator && a->transport == b->transport && a->priority == b->priority &&
           a->weight == b->weight &&
           (a->is_locator ? endpoint_equal(&a->locator, &b->locator) : tag_equal(&a->tag, &b->tag));
}

int holder_set_service(struct holder *h, const struct record_target *targets, size_t count, struct slice details,
                       instant now)
{
    struct holder before;
    bool same = count == h->targets_count && details.len == h->details_len && h->state != HOLDER_IDLE;
    int e;

    if (count > RECORD_TARGETS_MAX || details.len > RECORD_DETAILS_MAX)
        return -EINVAL;
    if (same && details.len > 0)
        same = memcmp(h->details, details.data, details.len) == 0;
    for (size_t i = 0; i < count && same; i++)
        same = same_target(&targets[i], &h->targets[i]);
    if (same)
        return 0;
    before = *h;
    if (count > 0) /* targets may be NULL */
        memcpy(h->targets, targets, count * sizeof(*targets));
    h->targets_count = count;
    if (details.len > 0)
        memcpy(h->details, details.data, details.len);
    h->details_len = details.len;
    e = sign(h);
    if (e < 0) {
        *h = before;
        holder_deinit(&before);
        return e;
    }
    holder_deinit(&before);
    if (h->state == HOLDER_IDLE)
        h->state = HOLDER_TRYING;
    h->retry = HOLDER_RETRY_MIN;
    h->again = h->asking;
    h->next = now;
    return 0;
}

int holder_set_targets(struct holder *h, const struct record_target *targets, size_t count, instant now)
{
    return holder_set_service(h, targets, count, (struct slice){ 0 }, now);
}

void holder_set_floor(struct holder *h, uint64_t seq)
{
    h->seq = MAX(h->seq, seq);
}

size_t holder_output(struct holder *h, instant now, uint8_t *out)
{
    struct mapping_request r = { .type = MAPPING_REGISTER, .record = { h->record, h->record_len } };
    struct writer w = writer_init(out, HOLDER_REQUEST_MAX);
    uint8_t item[64];
    struct writer i = writer_init(item, sizeof(item));

    if (h->asking || h->state == HOLDER_IDLE || now < h->next)
        return 0;
    if (h->has_told) {
        const struct mapping_refresh refresh = {
            .subject = h->subject, .kind = h->kind, .answer = h->answer, .seq = h->seq, .lease_s = h->lease_s
        };

        mapping_write_refresh(&i, &refresh);
        r = (struct mapping_request){ .type = MAPPING_REFRESH, .items = { item, writer_len(&i), 1 } };
    }
    mapping_request_write(&w, &r);
    h->asking = true;
    h->asked_refresh = h->has_told;
    return writer_len(&w);
}

/* Asks again after a while that doubles. */
static void retry(struct holder *h, span at_least, instant now)
{
    if (h->state == HOLDER_REGISTERED && now >= h->until)
        h->state = HOLDER_TRYING;
    h->next = now + MAX(h->retry, at_least);
    h->retry = MIN(2 * h->retry, HOLDER_RETRY_MAX);
}

static void registered(struct holder *h, const struct mapping_answer *a, instant now)
{
    uint32_t lease_s = a->left_s ? MIN(a->left_s, h->lease_s) : h->lease_s;

    h->state = HOLDER_REGISTERED;
    h->has_told = true;
    h->until = now + (instant)lease_s * SEC;
    h->next = now + (instant)lease_s * SEC / 3;
    h->retry = HOLDER_RETRY_MIN;
}

/* What the manager has is newer than what was said: past it, and say it again. Not by one: who has forgotten its
 * counter may have said that number before, to a manager that forgot it too, but not before others were told. */
static void jump(struct holder *h, uint64_t newest, instant now)
{
    if (newest < h->seq)
        return;
    h->seq = newest >> 32 < UINT32_MAX ? ((newest >> 32) + 1) << 32 | h->counter : newest;
    if (newest == UINT64_MAX || sign(h) < 0)
        retry(h, HOLDER_RETRY_MAX, now);
    else
        h->next = now;
}

static void on_done(struct holder *h, struct mapping_answer *a, instant now)
{
    struct mapping_failure f;

    if (!h->asked_refresh || !mapping_next_failure(&a->items, &f)) {
        registered(h, a, now);
        return;
    }
    h->state = HOLDER_TRYING;
    h->has_told = false;
    h->next = now;
    jump(h, f.seq, now); /* 0: nothing is there, which is below any */
}

void holder_on_answer(struct holder *h, const uint8_t *bytes, size_t len, instant now)
{
    struct mapping_answer a;

    if (!h->asking)
        return;
    h->asking = false;
    if (h->again) { /* it was about what is not any more */
        h->again = false;
        h->next = now;
        return;
    }
    if (mapping_answer_read(bytes, len, &a) < 0) {
        retry(h, HOLDER_RETRY_MAX, now);
        return;
    }
    switch (a.status) {
    case MAPPING_DONE:
        on_done(h, &a, now);
        break;
    case MAPPING_OLDER:
        if (a.seq >= h->seq)
            jump(h, a.seq, now);
        else /* it makes no sense */
            retry(h, HOLDER_RETRY_MAX, now);
        break;
    case MAPPING_LATER:
        retry(h, (span)a.wait_ms * MSEC, now);
        break;
    case MAPPING_REFUSED:
        h->state = HOLDER_REFUSED;
        h->fault = a.fault;
        retry(h, HOLDER_RETRY_MAX, now);
        break;
    case MAPPING_NONE:
        h->state = HOLDER_UNKNOWN;
        retry(h, 10 * SEC, now);
        break;
    default:
        retry(h, HOLDER_RETRY_MAX, now);
        break;
    }
}

void holder_on_failed(struct holder *h, instant now)
{
    if (!h->asking)
        return;
    h->asking = h->again = false;
    retry(h, 0, now);
}

void holder_on_up(struct holder *h, instant now)
{
    /* What is under way is answered by who stands there now. */
    if (h->state != HOLDER_IDLE && !h->asking)
        h->next = now;
}

instant holder_next_expiry(const struct holder *h)
{
    return h->asking || h->state == HOLDER_IDLE ? INSTANT_NEVER : h->next;
}
