/* A revoked key is never accepted after its revocation was applied: in whatever order revocations and successions of
 * keys come, over a manager's crash, and while what it has verified waits to be stored.
 *
 *   authority --records (lossy, reordered, again and again)--> manager --> its readers
 *                                                               |
 *                                                             journal
 *
 * A subject has had three keys, 0, 1 and 2, each the successor of the one before; the authority revokes the last one.
 *
 * What is modelled (ident/chain.c):
 *   trust_apply     a revocation is for ever; a succession is refused when it is of a key that is revoked, or when it
 *                   would lead in a circle; else it is kept, also when it leads to a key that is revoked
 *   trust_is_revoked   a key is revoked if it is, or one that it was changed to
 *   trust_accept    looks at revocations each time; of what was verified only the signature is remembered
 *   manager         what it has applied it has written to its journal before it says so, and reads that at its start;
 *                   a record is verified, then taken into the table in a later step, which asks again; applying a
 *                   revocation takes what is revoked out of the table
 *
 * `told` is what the authority was told to be applied. From then on nothing of the revoked key is taken or given, and,
 * when the successions have come too, nothing of the keys before it.
 *
 * broken: VERDICT   that a record was accepted is remembered, not only that its signature was right
 * broken: JOURNAL   the authority is told before the revocation is in the journal
 * broken: AGAIN     what was verified before is taken without asking again
 * broken: TABLE     what is revoked stays in the table
 * broken: NEXT      a succession to a key that is revoked is refused: the keys before it are never known to be revoked
 * broken: CIRCLE    a succession to a key that has a successor itself is refused as a circle
 */
#ifdef FULL
#define CRASHES 3
#else
#define CRASHES 1
#endif
#define KEYS 3
#define NONE 255
#define SUCCESSION 0 /* of key n to n + 1, or of 2 to 0, which nobody should sign: the circle */
#define REVOCATION 1

bool revoked[KEYS];              /* the manager's facts, in memory */
byte next[KEYS] = NONE;
bool j_revoked[KEYS];            /* the same in its journal */
byte j_next[KEYS] = NONE;
bool told_revoked, told_next[KEYS];
bool waits[KEYS], there[KEYS];   /* bindings of these keys: verified, in the table */
bool verdict[KEYS];
byte crashes = CRASHES, forged = 1;

chan net = [2] of { byte, byte, byte }; /* type, key, its successor */

inline is_revoked(key, ret)
{
    byte_at = key;
    ret = false;
    do
    :: byte_at != NONE && revoked[byte_at] -> ret = true; break
    :: byte_at != NONE && !revoked[byte_at] -> byte_at = next[byte_at]
    :: byte_at == NONE -> break
    od;
    byte_at = 0
}

/* What must not be accepted any more, in truth. */
#define DEAD(key) (told_revoked && (key == 2 || (told_next[1] && (key == 1 || told_next[0]))))

inline leads_in_circle(key, to, ret)
{
#ifdef BROKEN_CIRCLE
    ret = next[to] != NONE;
#else
    byte_at = to;
    ret = false;
    do
    :: byte_at == key -> ret = true; break
    :: byte_at == NONE -> break
    :: else -> byte_at = next[byte_at]
    od;
    byte_at = 0
#endif
}

inline drop_revoked(key)
{
#ifndef BROKEN_TABLE
    key = 0;
    do
    :: key < KEYS ->
        is_revoked(key, yes);
        there[key] = there[key] && !yes;
        key++
    :: else -> break
    od;
#endif
    key = 0;
    yes = false
}

inline apply(type, key, to)
{
    if
    :: type == REVOCATION ->
        revoked[key] = true;
#ifdef BROKEN_JOURNAL
        told_revoked = true
#else
        skip
#endif
    :: type == SUCCESSION && next[key] == NONE ->
        is_revoked(key, yes);
        leads_in_circle(key, to, circle);
#ifdef BROKEN_NEXT
        yes = yes || revoked[to];
#endif
        if
        :: !yes && !circle -> next[key] = to
        :: else
        fi;
        if
        /* It is said to be done, or refused for good: which is right only where the circle came first. */
        :: key < to && next[2] == NONE -> told_next[key] = true
        :: else
        fi
    :: else
    fi;
    key = 0;
    yes = false;
    circle = false;
    drop_revoked(key)
}

active proctype world()
{
    byte type, key, to, byte_at;
    bool yes, circle;

end:
    do
    /* The authority says all that it has signed, as often as one likes, in any order. */
    :: d_step { nfull(net) -> net!SUCCESSION, 0, 1 }
    :: d_step { nfull(net) -> net!SUCCESSION, 1, 2 }
    :: d_step { nfull(net) -> net!REVOCATION, 2, 0 }
    :: d_step { nfull(net) && forged > 0 -> forged--; net!SUCCESSION, 2, 0 }
    :: d_step { len(net) == 2 -> net?type, key, to; net!type, key, to; type = 0; key = 0; to = 0 }
    :: d_step { nempty(net) -> net?_, _, _ }
    :: d_step { net?type, key, to -> apply(type, key, to); type = 0; to = 0 }
    /* The journal, and what is said when it is written. */
    :: d_step {
        revoked[2] && (!j_revoked[2] || !told_revoked) ->
        j_revoked[2] = true;
        told_revoked = true
    }
    :: d_step { next[0] != j_next[0] -> j_next[0] = next[0] }
    :: d_step { next[1] != j_next[1] -> j_next[1] = next[1] }
    :: d_step { next[2] != j_next[2] -> j_next[2] = next[2] }
    :: d_step {
        crashes > 0 ->
        crashes--;
        key = 0;
        do
        :: key < KEYS ->
            revoked[key] = j_revoked[key];
            next[key] = j_next[key];
            told_next[key] = told_next[key] && next[key] != NONE; /* it comes again */
            waits[key] = false;
            verdict[key] = false;
            key++
        :: else -> break
        od;
        drop_revoked(key) /* of the rows that the store gives back */
    }
    /* Bindings signed by each key come at any time; one is looked up. */
    :: atomic {
        select(key : 0 .. KEYS - 1);
        if
        :: d_step {
            true ->
            is_revoked(key, yes);
#ifdef BROKEN_VERDICT
            yes = yes && !verdict[key];
            verdict[key] = !yes;
#endif
            assert(yes || !DEAD(key));
            waits[key] = waits[key] || !yes;
            yes = false
        }
        :: d_step {
            waits[key] ->
            waits[key] = false;
            is_revoked(key, yes);
#ifdef BROKEN_AGAIN
            yes = false;
#endif
            assert(yes || !DEAD(key));
            there[key] = there[key] || !yes;
            yes = false
        }
        :: d_step { there[key] -> assert(!DEAD(key)) }
        :: else -> skip
        fi;
        key = 0
    }
    od
}
