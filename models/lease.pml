/* A lease that ends while a refresh comes never takes away a binding that is alive: in the manager's table, in its store,
 * over a restart, and in the cache of who asked before.
 *
 *   host --says, refreshes--> manager --changes, any order--> store
 *        <--done, or not there--   ^
 *                                  | asks when it knows nothing
 *                                cache
 *
 * Time goes in steps; a lease is LEASE of them. A binding is alive for a lease, less one step, from when the manager last
 * said "done" to the host, by the manager's clock. While it is alive who asks the manager is given it, also after a restart, and a cache
 * that knows it says that there is none only if the manager has said so since.
 *
 * What is modelled:
 *   manager   bindings_on_expiry ends a lease; bindings_refresh wants a row whose lease is not over and just its sequence;
 *             bindings_put takes no sequence again, also when its lease is over (mapping/bindings.c)
 *   store     changes are done later, in any order (sys/bindstore.h): a put is not taken below or at a sequence that is
 *             there, an end of a lease only under just its sequence; refreshes are not stored
 *   host      refreshes what it was told that the manager has; else it says the record again (mapping/holder.c)
 *   alive     the store has until when the manager was alive, written once a step (prog/realmd_store.c)
 *   restart   what the store has, as if it had been refreshed when the manager was last known to be alive
 *   cache     an answer is kept for what is left of its lease; when it is over nothing is known, and the manager is asked;
 *             that there was none is kept too, from the answer to the newest question alone
 *
 * broken: END_ANY      the end of a lease takes away the row whatever its sequence is
 * broken: REVIVE       the same record begins a lease anew after its end, while that end is on its way to the store
 * broken: ALIVE        a restart takes the lease that the store has, which knows of no refresh
 * broken: SAYS_NONE    a cache whose answer's lease is over says that there is none
 * broken: QUESTION     an answer to an older question is taken
 */
#ifdef FULL
#define STEPS 7
#define MOVES 2
#define QUESTIONS 3
#define DEPTH 3
#else
#define STEPS 4
#define MOVES 2
#define QUESTIONS 2
#define DEPTH 2
#endif
#define LEASE 3

byte now;
/* The host; told: the manager has said that it has this record. */
byte h_seq;
bool h_told;
byte moves = MOVES;
/* The manager's table: has: the record is there. */
byte t_seq, t_until;
bool t_has;
/* The store. */
byte s_seq, s_until, alive;
bool s_has;
/* The cache: knows: 0 nothing, 1 the binding, 2 that there is none. */
byte c_knows, c_until, asked, c_question; /* the last one: the truth */
byte alive_until; /* the truth; 0: no promise */
bit restarts = 1;

chan says = [1] of { bool, byte };            /* refresh, sequence */
chan hears = [1] of { byte, byte };           /* NOT_THERE, OLDER, DONE; sequence */
chan store = [DEPTH] of { byte, byte, byte };     /* 0 put, 1 end; sequence; until */
chan answer = [2] of { byte, bool, byte };    /* question, found, until */

#ifdef BROKEN_REVIVE
#define REVIVED true
#else
#define REVIVED false
#endif
#ifdef BROKEN_ALIVE
#define LEFT 0
#else
#define LEFT (alive + LEASE)
#endif
#define PUT 0
#define END 1
#define NOT_THERE 0
#define OLDER 1
#define DONE 2

inline promise(until)
{
    alive_until = (until - 1 > alive_until -> until - 1 : alive_until)
}

inline to_host(what, seq)
{
    if
    :: nfull(hears) -> hears!what, seq
    :: full(hears)
    fi
}

inline table_put(seq)
{
    if
    :: seq > t_seq || (REVIVED && seq == t_seq && !t_has) ->
        t_seq = seq;
        t_has = true;
        t_until = now + LEASE;
        store!PUT, t_seq, t_until
    :: seq == t_seq && t_has -> /* the same: its lease goes on as it was */
        if
        :: s_has && s_seq == seq -> to_host(DONE, seq)
        :: else
        fi
    :: else -> to_host(OLDER, t_seq)
    fi
}

inline table_refresh(seq)
{
    if
    :: !t_has -> to_host(NOT_THERE, 0)
    :: t_has && seq != t_seq -> to_host(OLDER, t_seq)
    :: else ->
        t_until = now + LEASE;
        promise(t_until)
    fi
}

inline store_does(op, seq, until)
{
    if
    :: op == PUT && (seq > s_seq || (seq == s_seq && s_has)) ->
        s_until = (seq == s_seq && s_until > until -> s_until : until);
        s_seq = seq;
        s_has = true;
        promise(until);
        to_host(DONE, seq)
#ifdef BROKEN_END_ANY
    :: op == END -> s_has = false
#else
    :: op == END && seq >= s_seq -> s_seq = seq; s_has = false
#endif
    :: else
    fi
}

#define FOUND (t_has && t_until > now)

active proctype world()
{
    byte op, seq, until;
    bool found;

end:
    do
    :: d_step { now < STEPS && alive == now -> now++ }
    :: d_step { alive < now -> alive = now }
    /* The host. */
    :: d_step { moves > 0 && nfull(says) -> moves--; h_seq++; h_told = false; says!false, h_seq }
    :: d_step { h_seq > 0 && nfull(says) -> says!h_told, h_seq }
    :: d_step {
        nfull(says) && nempty(hears) ->
        hears?op, seq;
        if
        :: op == NOT_THERE -> h_told = false; says!false, h_seq
        :: op == OLDER && seq >= h_seq -> h_told = false; h_seq = seq + 1; says!false, h_seq
        :: op == DONE && seq == h_seq -> h_told = true
        :: else
        fi;
        op = 0;
        seq = 0
    }
    :: d_step { nempty(hears) -> hears?_, _ }
    /* The manager: what comes, and leases that end, which may be late. */
    :: d_step {
        nfull(store) && nempty(says) ->
        says?found, seq;
        if
        :: found -> table_refresh(seq)
        :: else -> table_put(seq)
        fi;
        found = false;
        seq = 0
    }
    :: d_step { nempty(says) -> says?_, _ }
    :: d_step { t_has && t_until <= now && nfull(store) -> t_has = false; store!END, t_seq, 0 }
    :: d_step { assert(FOUND || now >= alive_until) }
    /* The store. */
    :: d_step { store?op, seq, until -> store_does(op, seq, until); op = 0; seq = 0; until = 0 }
    :: d_step { len(store) > 1 -> store?op, seq, until; store!op, seq, until; op = 0; seq = 0; until = 0 }
    :: d_step {
        restarts > 0 ->
        restarts--;
        t_seq = s_seq;
        t_until = (LEFT > s_until -> LEFT : s_until);
        t_has = s_has && t_until > now;
        t_until = (t_has -> t_until : 0);
        do
        :: nempty(store) -> store?_, _, _
        :: empty(store) -> break
        od;
        op = 0
    }
    /* The cache: it asks, again when nothing comes, and takes the answer. */
    :: d_step {
        asked < QUESTIONS && nfull(answer) && (c_knows == 0 || c_until > now) ->
        asked++;
        answer!asked, FOUND, (FOUND -> t_until : now + 1)
    }
    :: d_step { len(answer) == 2 -> answer?op, found, until; answer!op, found, until; op = 0; found = false; until = 0 }
    :: d_step {
        answer?op, found, until ->
        if
#ifndef BROKEN_QUESTION
        :: op != asked -> skip
#endif
        :: else ->
            assert(found || c_knows != 1 || c_until <= now || op > c_question);
            c_knows = (found -> 1 : 2);
            c_until = until;
            c_question = op
        fi;
        op = 0;
        found = false;
        until = 0
    }
    :: d_step {
        c_knows != 0 && c_until <= now ->
#ifdef BROKEN_SAYS_NONE
        assert(c_knows != 1 || now >= alive_until);
        c_knows = 2;
        c_until = now + 1
#else
        c_knows = 0;
        c_until = 0
#endif
    }
    od
}
