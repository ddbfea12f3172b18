/* Fuzz target of src/dmux/admission and applicant: records u8 what | u8 time | u16 length | bytes. Words are given to a
 * router's door and to a client, who also say to each other what they have to say. No answer of the door is longer than
 * what it answers, nobody is let in whom it does not know, and the client's queue gives back what it was given. */
#include "base/rng.h"
#include "dmux/admission.h"
#include "dmux/applicant.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROVIDER 100
#define CLIENTS_MAX 4

static struct prng prng;
static struct identity provider;
static struct peer_key member;
static struct credential credential;

struct ends {
    struct admission *door;
    struct applicant *applicant;
    uint8_t last[WORD_ADMIT_MAX]; /* what the client said last */
    size_t last_len;
};

static const struct client_id self = { 0xc6336407, 4000 }, other = { 0xc6336408, 4000 };

static void begin(struct ends *e, bool known, instant now)
{
    const struct admission_options o = {
        .identity = &provider, .members = &member, .members_count = known, .lifetime_s = 10, .clients_max = CLIENTS_MAX
    };
    const struct rng rng = prng_rng(&prng);

    *e = (struct ends){ 0 };
    prng_init(&prng, 1);
    if (credential.provider == 0) { /* once */
        if (identity_generate(&provider, &rng) < 0 || identity_generate(&credential.identity, &rng) < 0)
            abort();
        credential.provider = PROVIDER;
        identity_peer_key(&provider, 3, &credential.to);
        identity_peer_key(&credential.identity, 3, &member);
    }
    prng_init(&prng, 2);
    e->door = admission_new(&o, DMUX_IPV6, PROVIDER, &rng);
    e->applicant = applicant_new(&credential, 1, DMUX_IPV6, &rng);
    assert(e->door && e->applicant);
    applicant_begin(e->applicant, &self, now);
}

static void to_door(struct ends *e, const struct client_id *from, const uint8_t *data, size_t len, bool heard,
                    instant now)
{
    uint8_t out[WORD_VERDICT_LEN];
    size_t n = admission_on_word(e->door, from, data, len, 1000, now, out);
    struct word w;

    assert(n <= len && n <= sizeof(out));
    assert(n == 0 || (word_read(out, n, &w) == 0 && (w.type == WORD_DEMAND || w.type == WORD_VERDICT)));
    if (n > 0 && heard)
        applicant_on_word(e->applicant, PROVIDER, out, n, now);
}

static void talk(struct ends *e, instant now)
{
    uint8_t out[PROTOCOL_PACKET_MAX];
    size_t n;

    while ((n = applicant_output(e->applicant, out, now)) > 0) {
        assert(n <= WORD_ADMIT_MAX);
        memcpy(e->last, out, n);
        e->last_len = n;
        to_door(e, &self, out, n, true, now);
    }
    while ((n = applicant_release(e->applicant, out)) > 0)
        assert(n <= PROTOCOL_PACKET_MAX && !applicant_waits(e->applicant));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ends e;
    instant now = SEC;
    bool known = size > 0 && (data[0] & 0x80);
    struct admission_stats s;
    struct applicant_info info;

    begin(&e, known, now);
    while (size >= 4) {
        size_t len = MIN((size_t)get_be16(data + 2), size - 4);
        const uint8_t *bytes = data + 4;

        now += data[1] * 100 * MSEC;
        switch (data[0] & 7) {
        case 0:
            to_door(&e, &self, bytes, len, false, now);
            break;
        case 1:
            applicant_on_word(e.applicant, PROVIDER, bytes, len, now);
            break;
        case 2:
            applicant_on_word(e.applicant, PROVIDER + 1, bytes, len, now);
            break;
        case 3: /* what the client said, changed in one byte or from elsewhere */
            if (len > 1 && e.last_len > 0)
                e.last[bytes[0] % e.last_len] ^= bytes[1];
            to_door(&e, len > 2 ? &other : &self, e.last, e.last_len, len > 3, now);
            break;
        case 4:
            if (len <= PROTOCOL_PACKET_MAX && applicant_waits(e.applicant))
                applicant_hold(e.applicant, bytes, len);
            break;
        case 5:
            applicant_begin(e.applicant, len > 0 ? &other : &self, now);
            break;
        case 6:
            applicant_on_served(e.applicant);
            break;
        default:
            talk(&e, now);
            break;
        }
        data += 4 + len;
        size -= 4 + len;
    }
    admission_stats_get(e.door, &s);
    applicant_info_get(e.applicant, &info);
    assert(s.clients <= (known ? 2 : 0));
    assert(info.state < APPLICANT_STATE_COUNT && info.lost <= info.held);
    admission_free(e.door);
    applicant_free(e.applicant);
    return 0;
}
