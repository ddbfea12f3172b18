/* Nobody who remembers is given an older mapping than he has seen: across loss and reordering, a manager's crash, a
 * store that rolls back, a middle manager's restart, and a host that has forgotten its counter.
 *
 *   host --up--> top manager --down--> middle manager --out--> cache
 *        <-ack--      |                                  ^
 *                   store, replica    top --out----------+   (the cache may ask either)
 *
 * What is modelled, and where it is in the code:
 *   top, middle   bindings_put: above the sequence that is there, or not taken; equal sequence and other bytes are older
 *                 (mapping/bindings.c). A lease that is over keeps its sequence, also in the store (sys/bindstore.h).
 *   cache         cache_put: not below the sequence that was seen (mapping/cache.c)
 *   top           pushes before it commits, acknowledges after; its store may lose what it had acknowledged
 *                 (BINDSTORE_BEHIND), then all rows are put again
 *   host          told that there is a newer sequence it begins a new epoch behind that (seq = epoch * EPOCH + counter;
 *                 mapping/holder.c)
 *
 * A host counts by two and, when it has forgotten, begins with a number that is lower but odd: so is modelled that it
 * begins with a random counter. `ver` is the truth that nobody in the system sees: the host's records, counted; they name
 * its first and its second locator in turn. Under one number nobody is given a record and then an older one.
 *
 * What is promised of a top manager that loses its memory while its store is behind (two faults at once) is less: it may
 * give what is older than acknowledged until the host says it again. Readers that remember are safe even then.
 *
 * Every mutation must be found:
 * broken: CACHE_FLOOR    the cache takes what comes
 * broken: BINDINGS_FLOOR so does the middle manager
 * broken: ACK            the top manager acknowledges before it commits
 * broken: RAM_FLOOR      after a rollback the top manager believes its store
 * broken: FORWARD        after a rollback nothing is written forward
 * broken: JUMP           a host that is told of a newer sequence says the same again
 * broken: JUMP_BY_ONE    it takes the next number, which it may have used before it forgot
 * broken: JUMP_TO_ZERO   it begins the next epoch with a counter that it may have used before it forgot
 * broken: START          a host that has forgotten begins where it began before
 * broken: TOMBSTONE      the store forgets the sequence of a lease that is over
 */
#ifdef FULL
#define HOSTS 2
#define DEPTH 2
#else
#define HOSTS 1
#define DEPTH 1
#endif
#ifdef BROKEN
#define FAULTS 3 /* of all kinds together; a mutation is found long before all is visited */
#else
#define FAULTS 2
#endif
#define MOVES 2
#define EPOCH 8
/* Random: another one after the host has forgotten, and lower, which is the worse. */
#ifdef BROKEN_JUMP_TO_ZERO
#define COUNTER 0
#else
#define COUNTER (forgets > 0 -> 2 : 0)
#endif

byte h_seq[HOSTS], h_ver[HOSTS], tries[HOSTS];
bool h_acked[HOSTS];
byte t_seq[HOSTS], t_ver[HOSTS]; /* top, in memory */
bool t_live[HOSTS], t_uncommitted[HOSTS];
byte s_seq[HOSTS], s_ver[HOSTS]; /* its store */
bool s_live[HOSTS];
byte p_seq[HOSTS], p_ver[HOSTS]; /* the replica that takes over: it lacks the last change */
bool p_live[HOSTS];
bool behind;
byte m_seq[HOSTS], m_ver[HOSTS]; /* middle */
byte c_seq[HOSTS], c_ver[HOSTS]; /* cache */

byte acked_seq[HOSTS], given_seq[HOSTS]; /* the truth: acknowledged; given since the top manager began */
bool excused[HOSTS];

byte moves = MOVES, faults = FAULTS;
bit again = 1, losses = 1, crashes = 1, rollbacks = 1, forgets = 1, restarts = 1, expiries = 1; /* each once at most */

chan up = [2] of { byte, byte, byte };        /* host, sequence, version */
chan ack = [1] of { byte, bool, byte, byte }; /* host, older, sequence, version that is answered */
chan down = [DEPTH] of { byte, byte, byte };
chan out = [2] of { byte, byte, byte };

/* What the top manager gives to anybody. A full channel is a lost message. */
inline give(to, h)
{
    assert(t_seq[h] >= given_seq[h]);
    assert(excused[h] || t_seq[h] >= acked_seq[h]);
    given_seq[h] = t_seq[h];
    if
    :: nfull(to) -> to!h, t_seq[h], t_ver[h]
    :: full(to)
    fi
}

inline answer(h, older, seq, ver)
{
    if
    :: nfull(ack) -> ack!h, older, seq, ver
    :: full(ack)
    fi
}

inline done(h)
{
    acked_seq[h] = (t_seq[h] > acked_seq[h] -> t_seq[h] : acked_seq[h]);
    answer(h, false, t_seq[h], t_ver[h])
}

inline store_takes(h)
{
    if
    :: t_seq[h] > s_seq[h] || (t_seq[h] == s_seq[h] && s_live[h] && !t_live[h]) ->
        p_seq[h] = s_seq[h];
        p_ver[h] = s_ver[h];
        p_live[h] = s_live[h];
        s_seq[h] = t_seq[h];
        s_ver[h] = t_ver[h];
        s_live[h] = t_live[h]
    :: else
    fi
}

inline top_takes(h, seq, ver)
{
    if
    :: seq > t_seq[h] ->
        t_seq[h] = seq;
        t_ver[h] = ver;
        t_live[h] = true;
        if
        :: seq >= acked_seq[h] -> excused[h] = false
        :: else
        fi;
        give(down, h);
        t_uncommitted[h] = true
#ifdef BROKEN_ACK
        ;
        done(h)
#endif
    :: seq == t_seq[h] && ver == t_ver[h] && t_live[h] ->
        if
        :: !t_uncommitted[h] -> done(h)
        :: else
        fi
    :: else -> answer(h, true, t_seq[h], ver)
    fi
}

inline host_says(h)
{
    if
    :: nfull(up) -> up!h, h_seq[h], h_ver[h]
    :: full(up)
    fi
}

/* A new record. */
inline host_moves(h, seq)
{
    h_ver[h]++;
    h_seq[h] = seq;
    h_acked[h] = false;
    tries[h] = 0;
    host_says(h)
}

inline host_hears(h, older, seq, ver)
{
    if
    :: !older && ver == h_ver[h] && seq == h_seq[h] -> h_acked[h] = true
    :: older && ver == h_ver[h] && seq >= h_seq[h] ->
#if defined(BROKEN_JUMP)
        skip
#elif defined(BROKEN_JUMP_BY_ONE)
        host_moves(h, seq + 2)
#else
        host_moves(h, (seq / EPOCH + 1) * EPOCH + COUNTER)
#endif
    :: else
    fi
}

inline middle_takes(h, seq, ver)
{
    if
#ifdef BROKEN_BINDINGS_FLOOR
    :: true ->
#else
    :: seq > m_seq[h] ->
#endif
        assert(seq >= m_seq[h]);
        assert(seq != m_seq[h] || ver >= m_ver[h]);
        m_seq[h] = seq;
        m_ver[h] = ver
    :: else
    fi
}

inline cache_takes(h, seq, ver)
{
    if
#ifdef BROKEN_CACHE_FLOOR
    :: true ->
#else
    :: seq >= c_seq[h] ->
#endif
        assert(seq >= c_seq[h]);
        assert(seq != c_seq[h] || ver >= c_ver[h]);
        c_seq[h] = seq;
        c_ver[h] = ver
    :: else
    fi
}

inline top_crashes(h)
{
    h = 0;
    do
    :: h < HOSTS ->
        excused[h] = excused[h] || (behind && s_seq[h] < acked_seq[h]);
        t_seq[h] = s_seq[h];
        t_ver[h] = s_ver[h];
        t_live[h] = s_live[h];
        t_uncommitted[h] = false;
        given_seq[h] = 0;
        h++
    :: else -> break
    od;
    behind = false;
    h = 0
}

inline store_rolls_back(h)
{
    h = 0;
    do
    :: h < HOSTS ->
        s_seq[h] = p_seq[h];
        s_ver[h] = p_ver[h];
        s_live[h] = p_live[h];
        h++
    :: else -> break
    od;
    behind = true;
    h = 0
}

inline top_writes_forward(h)
{
    h = 0;
    do
    :: h < HOSTS ->
#if defined(BROKEN_RAM_FLOOR)
        t_seq[h] = s_seq[h];
        t_ver[h] = s_ver[h];
        t_live[h] = s_live[h];
#elif !defined(BROKEN_FORWARD)
        store_takes(h);
#endif
        h++
    :: else -> break
    od;
    behind = false;
    h = 0
}

active proctype world()
{
    byte h, seq, ver;
    bool older;

end:
    do
    /* Messages come, in any order, or are lost. */
    :: d_step { up?h, seq, ver -> top_takes(h, seq, ver); h = 0; seq = 0; ver = 0 }
    :: d_step { ack?h, older, seq, ver -> host_hears(h, older, seq, ver); h = 0; seq = 0; ver = 0; older = false }
    :: d_step { down?h, seq, ver -> middle_takes(h, seq, ver); h = 0; seq = 0; ver = 0 }
    :: d_step { out?h, seq, ver -> cache_takes(h, seq, ver); h = 0; seq = 0; ver = 0 }
    :: d_step { len(up) == 2 -> up?h, seq, ver; up!h, seq, ver; h = 0; seq = 0; ver = 0 }
    :: d_step { len(down) == 2 -> down?h, seq, ver; down!h, seq, ver; h = 0; seq = 0; ver = 0 }
    :: d_step { len(out) == 2 -> out?h, seq, ver; out!h, seq, ver; h = 0; seq = 0; ver = 0 }
    :: d_step { faults > 0 && losses > 0 && nempty(up) -> losses--; faults--; up?_, _, _ }
    :: d_step { faults > 0 && losses > 0 && nempty(ack) -> losses--; faults--; ack?_, _, _, _ }
    :: d_step { faults > 0 && losses > 0 && nempty(down) -> losses--; faults--; down?_, _, _ }
    :: atomic {
#if HOSTS > 1
        select(h : 0 .. HOSTS - 1);
#endif
        if
        /* The host: it moves, says it again because nothing came (which must be of use), or early, or forgets. */
        :: d_step { moves > 0 -> moves--; host_moves(h, h_seq[h] + 2) }
        :: d_step {
            h_ver[h] > 0 && !h_acked[h] && !t_uncommitted[h] && empty(up) && empty(ack) ->
            tries[h] = (tries[h] <= FAULTS -> tries[h] + 1 : FAULTS + 1);
            /* Several hosts may lose each other's messages, by filling the channels. */
            assert(HOSTS > 1 || tries[h] <= FAULTS);
            host_says(h)
        }
        :: d_step { faults > 0 && again > 0 && h_ver[h] > 0 && nfull(up) -> again--; faults--; host_says(h) }
        :: d_step {
            faults > 0 && forgets > 0 && h_seq[h] > 0 ->
            forgets--;
            faults--;
#ifdef BROKEN_START
            host_moves(h, 2)
#else
            host_moves(h, 1)
#endif
        }
        /* The top manager and its store. */
        :: d_step { t_uncommitted[h] -> t_uncommitted[h] = false; store_takes(h); done(h) }
        :: d_step {
            faults > 0 && expiries > 0 && t_live[h] && !t_uncommitted[h] ->
            expiries--;
            faults--;
            t_live[h] = false;
#ifdef BROKEN_TOMBSTONE
            s_seq[h] = 0;
            s_ver[h] = 0;
            s_live[h] = false
#else
            store_takes(h)
#endif
        }
        /* Those who ask. */
        :: d_step { t_live[h] && nfull(down) && m_seq[h] != t_seq[h] && empty(down) -> give(down, h) }
        :: d_step { t_live[h] && nfull(out) && c_seq[h] != t_seq[h] -> give(out, h) }
        :: d_step { m_seq[h] > 0 && nfull(out) && c_seq[h] != m_seq[h] -> out!h, m_seq[h], m_ver[h] }
        :: else -> skip
        fi;
        h = 0
    }
    :: d_step { faults > 0 && crashes > 0 -> crashes--; faults--; top_crashes(h) }
    :: d_step { faults > 0 && rollbacks > 0 -> rollbacks--; faults--; store_rolls_back(h) }
    :: d_step { behind -> top_writes_forward(h) }
    :: d_step {
        faults > 0 && restarts > 0 && m_seq[0] > 0 ->
        restarts--; faults--;
        h = 0;
        do
        :: h < HOSTS -> m_seq[h] = 0; m_ver[h] = 0; h++
        :: else -> break
        od;
        h = 0
    }
    od
}
