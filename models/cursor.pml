/* A subscriber's cursor has no gap: who is at cursor c of a manager's epoch has seen all that changed up to c, whatever
 * was lost, reordered, too old for the manager's log, or cut short by its restart.
 *
 *   manager --notify (lossy, reordered)--> subscriber
 *           <-ask--  --page-->
 *
 * What is modelled (mapping/message.h: SUBSCRIBE, CHANGES, NOTIFY, PAGE):
 *   manager      each change has the next cursor of the epoch; the log keeps the newest LOG of them; a notification is a
 *                change and the cursor before it; asked from a cursor of another epoch or one that is too old it answers
 *                with a snapshot, a page for each host, of what is there when that page is made; a restart begins another
 *                epoch with what its store has
 *   subscriber   applies a notification that begins where it is, and asks when one begins later; is, after a snapshot,
 *                where that began; begins anew when the epoch changes inside it; takes away what was in no page; takes no
 *                record, and no end of one, that is below what it has
 *
 * Versions of a host's binding: odd ones are there, even ones are not. At each step: at the subscriber's cursor what was
 * there is there, or a newer one, and what was not is not.
 *
 * broken: GAP     a notification is applied whatever it begins after
 * broken: EPOCH   a cursor of another epoch is answered with a tail
 * broken: OLD     so is one that the log does not go back to
 * broken: LAST    after a snapshot the subscriber is where its last page was made
 * broken: MIXED   pages of two epochs make a snapshot
 * broken: SWEEP   what was in no page stays
 */
#ifdef FULL
#define CHANGES 5
#define RESTARTS 2
#define LOG 2
#else
#define CHANGES 3
#define RESTARTS 1
#define LOG 1
#endif
#define HOSTS 2
#define THERE(ver) ((ver) % 2 == 1)

/* The manager; base: when the epoch began. */
byte epoch, cur, ver[HOSTS], stored[HOSTS], base[HOSTS];
byte log_h[CHANGES + 1], log_ver[CHANGES + 1]; /* by cursor */
byte changes = CHANGES, restarts = RESTARTS;

/* The subscriber; epoch 255: nowhere. */
byte s_epoch = 255, s_cur, s_ver[HOSTS];
bool s_has[HOSTS];
byte snap_next, snap_epoch, snap_to; /* snap_next: the page that is wanted, 0: in no snapshot */
byte sure; /* the truth: the cursor at which its last page was made, before which a snapshot is not of one moment */
bool snap_seen[HOSTS];
bool asking, behind = true; /* behind: there is something to ask for */

chan notify = [2] of { byte, byte, byte, byte };             /* epoch, cursor before, host, version */
chan ask = [1] of { byte, byte, byte };                      /* epoch, cursor, page */
chan page = [1] of { bool, byte, byte, byte, byte, bool };   /* snapshot, epoch, to, host, version, last or caught up */

/* What host x had at the subscriber's cursor: by the log of this epoch, and its base. */
inline truth(x, v, i)
{
    v = base[x];
    i = 1;
    do
    :: i <= s_cur ->
        if
        :: log_h[i] == x -> v = log_ver[i]
        :: else
        fi;
        i++
    :: else -> break
    od
}

inline check(x, v, i)
{
    if
    :: s_epoch == epoch && snap_next == 0 && s_cur >= sure ->
        assert(s_cur <= cur);
        x = 0;
        do
        :: x < HOSTS ->
            truth(x, v, i);
            assert(!THERE(v) || s_ver[x] > v || (s_has[x] && s_ver[x] == v));
            assert(THERE(v) || !s_has[x] || s_ver[x] >= v);
            x++
        :: else -> break
        od
    :: else
    fi;
    x = 0;
    v = 0;
    i = 0
}

inline applies(h, v)
{
    if
    :: v > s_ver[h] -> s_ver[h] = v; s_has[h] = THERE(v)
    :: v == s_ver[h] && THERE(v) -> s_has[h] = true
    :: else
    fi
}

inline hears(e, before, h, v)
{
    if
    :: snap_next != 0 || e != s_epoch -> behind = behind || e != s_epoch
#ifdef BROKEN_GAP
    :: else -> applies(h, v); s_cur = before + 1
#else
    :: snap_next == 0 && e == s_epoch && before == s_cur -> applies(h, v); s_cur = before + 1
    :: snap_next == 0 && e == s_epoch && before > s_cur -> behind = true
    :: else
#endif
    fi
}

/* The manager answers; a snapshot's page 1 is of host 0. */
inline answers(e, from, at)
{
    if
    :: at == 0 &&
#ifndef BROKEN_EPOCH
       e == epoch &&
#else
       e != 255 && from <= cur &&
#endif
#ifndef BROKEN_OLD
       from + LOG >= cur
#else
       true
#endif
       ->
        if
        :: from == cur -> page!false, epoch, cur, 255, 0, true
#ifdef BROKEN_OLD
        :: from != cur && from + LOG < cur -> page!false, epoch, cur - LOG + 1, log_h[cur - LOG + 1], log_ver[cur - LOG + 1], false
        :: from != cur && from + LOG >= cur -> page!false, epoch, from + 1, log_h[from + 1], log_ver[from + 1], from + 1 == cur
#else
        :: else -> page!false, epoch, from + 1, log_h[from + 1], log_ver[from + 1], from + 1 == cur
#endif
        fi
    :: else ->
        at = (at == 0 -> 1 : at);
        page!true, epoch, cur, at - 1, ver[at - 1], at == HOSTS
    fi
}

inline ends_snapshot(h)
{
    h = 0;
    do
    :: h < HOSTS ->
#ifndef BROKEN_SWEEP
        s_has[h] = s_has[h] && snap_seen[h];
#endif
        snap_seen[h] = false;
        h++
    :: else -> break
    od;
    s_epoch = snap_epoch;
    s_cur = snap_to;
    snap_next = 0;
    snap_epoch = 0;
    snap_to = 0
}

inline reads(is_snapshot, e, to, h, v, last)
{
    asking = false;
    if
    :: !is_snapshot ->
        if
#ifdef BROKEN_EPOCH
        :: true ->
            s_epoch = e;
#else
        :: e == s_epoch ->
#endif
            if
            :: h != 255 && to > s_cur -> applies(h, v)
            :: else
            fi;
            s_cur = (to > s_cur -> to : s_cur);
            behind = !last
        :: else /* of an epoch that is over: ask again */
        fi
#ifndef BROKEN_MIXED
    :: is_snapshot && h > 0 && e != snap_epoch -> /* begins anew */
        snap_next = 0;
        snap_seen[0] = false;
        s_epoch = 255
#endif
    :: else ->
        if
        :: h == 0 -> snap_epoch = e; snap_to = to
        :: else ->
#ifdef BROKEN_MIXED
            snap_epoch = e;
#endif
#ifdef BROKEN_LAST
            snap_to = to
#else
            skip
#endif
        fi;
        if
        :: THERE(v) -> applies(h, v); snap_seen[h] = true
        :: else
        fi;
        if
        :: last -> sure = to; ends_snapshot(h) /* and then its tail */
        :: else -> snap_next = h + 2
        fi
    fi
}

inline changes_one(h)
{
    ver[h]++;
    cur++;
    log_h[cur] = h;
    log_ver[cur] = ver[h];
    if
    :: nfull(notify) -> notify!epoch, cur - 1, h, ver[h]
    :: full(notify)
    fi
}

inline restarts_now(h)
{
    epoch++;
    cur = 0;
    h = 0;
    do
    :: h < HOSTS -> ver[h] = stored[h]; base[h] = stored[h]; h++
    :: else -> break
    od;
    h = 1;
    do
    :: h <= CHANGES -> log_h[h] = 0; log_ver[h] = 0; h++
    :: else -> break
    od
}

active proctype world()
{
    byte e, from, h, v, i;
    bool is_snapshot, last;

end:
    do
    :: d_step { changes > 0 -> changes--; changes_one(0); check(h, v, i) }
    :: d_step { changes > 0 -> changes--; changes_one(1); check(h, v, i) }
    :: d_step { stored[0] != ver[0] -> stored[0] = ver[0] }
    :: d_step { stored[1] != ver[1] -> stored[1] = ver[1] }
    :: d_step { restarts > 0 -> restarts--; restarts_now(h); h = 0 }
    :: d_step { notify?e, from, h, v -> hears(e, from, h, v); e = 0; from = 0; check(h, v, i) }
    :: d_step { len(notify) == 2 -> notify?e, from, h, v; notify!e, from, h, v; e = 0; from = 0; h = 0; v = 0 }
    :: d_step { nempty(notify) -> notify?_, _, _, _ }
    /* An exchange: one at a time, repeated until it is answered, so the answer comes. */
    :: d_step { !asking && (behind || snap_next != 0) -> asking = true; ask!s_epoch, s_cur, snap_next }
    :: d_step { ask?e, from, i -> answers(e, from, i); e = 0; from = 0; i = 0 }
    :: d_step {
        page?is_snapshot, e, from, h, v, last ->
        reads(is_snapshot, e, from, h, v, last);
        is_snapshot = false;
        last = false;
        e = 0;
        from = 0;
        check(h, v, i)
    }
    od
}
