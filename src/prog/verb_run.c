/* prog/verb_run.c - run: a program, and whatever it starts, has its TCP connections carried over every uplink.
 *
 * Theory of operation. This process becomes the pump (prog/pump.h), the program its child, with the library of
 * prog/run_preload.c before its C library. Whatever the program leaves behind becomes our child, too (subreaper), and
 * we stay until the last has gone and what they sent has arrived.
 *
 * A program that would not load the library is refused, since its connections would go their own way unnoticed. With
 * --redirect the kernel brings them (prog/redirect.h), of any program, and no library is loaded.
 *
 * Signals: those of the terminal reach the program by themselves; others that are sent to us are handed on to it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ident/keys.h"
#include "prog/peer_args.h"
#include "prog/pump.h"
#include "prog/redirect.h"
#include "prog/run_words.h"
#include "sys/clock.h"

#define DRAIN (10 * SEC) /* as a blocking close: what was sent when the last has gone */
#define EXIT_NO_EXEC 126 /* as shells say */
#define EXIT_NOT_FOUND 127
#define LIBRARY "libhawser-run.so"
#define OUR_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define MANY 8 /* options that may be given so often */

/* --- the program --- */

/* The file that execvp would run. False: there is none. */
static bool find_program(const char *name, char ret[PATH_MAX])
{
    const char *path = getenv("PATH");

    if (strchr(name, '/')) {
        snprintf(ret, PATH_MAX, "%s", name);
        return access(ret, X_OK) == 0;
    }
    for (const char *p = path ? path : "/bin:/usr/bin"; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        int len = (int)strcspn(p, ":");

        snprintf(ret, PATH_MAX, "%.*s/%s", len ? len : 1, len ? p : ".", name); /* an empty one is the folder here */
        if (access(ret, X_OK) == 0)
            return true;
    }
    errno = ENOENT;
    return false;
}

/* Would the dynamic linker put our library into this ELF file? Anything else (a script) is somebody else's question. */
static bool takes_library(int fd)
{
    ElfW(Ehdr) h;
    ElfW(Phdr) ph;

    if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
        return true;
    for (unsigned i = 0; i < h.e_phnum && h.e_ident[EI_CLASS] == OUR_CLASS; i++)
        if (pread(fd, &ph, sizeof(ph), (off_t)(h.e_phoff + (uint64_t)i * h.e_phentsize)) == (ssize_t)sizeof(ph) &&
            ph.p_type == PT_INTERP)
            return true;
    return false;
}

/* 0, or an exit code after telling why it cannot be carried. */
static int check_program(const struct verb *v, const char *name, bool redirect)
{
    char path[PATH_MAX];
    struct stat st;
    bool takes;
    int fd, error;

    if (!find_program(name, path)) {
        error = errno;
        verb_fail(v, "%s: %s", name, strerror(error));
        return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NO_EXEC;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0; /* it may be run, and not read: whoever does that knows why */
    takes = takes_library(fd);
    if (fstat(fd, &st) < 0)
        st.st_mode = 0;
    close(fd);
    if (redirect)
        return 0;
    if (!takes) {
        verb_fail(v,
                  "%s is linked statically, or for another machine: its connections are carried with --redirect only",
                  path);
        return EXIT_NO_EXEC;
    }
    if (st.st_mode & (S_ISUID | S_ISGID) && geteuid() != 0) {
        verb_fail(v, "%s changes its user: the system would not load our library into it", path);
        return EXIT_NO_EXEC;
    }
    return 0;
}

/* Beside this program as it was built, or where it is installed. */
static bool find_library(char ret[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        if (slash && snprintf(ret, PATH_MAX, "%.*s/" LIBRARY, (int)(slash - self), self) < PATH_MAX &&
            access(ret, R_OK) == 0)
            return true;
    }
    snprintf(ret, PATH_MAX, "%s/" LIBRARY, HAWSER_RUN_INSTALLED);
    return access(ret, R_OK) == 0;
}

static int set_environment(const struct verb *v, const struct pump *p)
{
    const char *others = getenv("LD_PRELOAD");
    char library[PATH_MAX], env[PUMP_ENV_SIZE], preload[2 * PATH_MAX];

    if (!find_library(library))
        return verb_fail(v, "%s: %s", library, strerror(errno));
    if (library[strcspn(library, ": ")] != '\0')
        return verb_fail(v, "%s: the dynamic linker takes no such path", library);
    if (snprintf(preload, sizeof(preload), "%s%s%s", library, others && *others ? ":" : "", others ? others : "") >=
        (int)sizeof(preload))
        return verb_fail(v, "LD_PRELOAD is too long");
    pump_env(p, env);
    return setenv("LD_PRELOAD", preload, 1) < 0 || setenv(RUN_ENV, env, 1) < 0 ? verb_fail(v, "%s", strerror(errno))
                                                                               : EXIT_DONE;
}

/* Its process, or -1 after telling what is wrong. Our own limit of descriptors is raised afterwards. */
static pid_t start(const struct verb *v, char **argv, const sigset_t *before, const struct redirect *redirect)
{
    struct rlimit files;
    pid_t pid = fork();

    if (pid == 0) {
        sigprocmask(SIG_SETMASK, before, NULL);
        signal(SIGPIPE, SIG_DFL);
        if (redirect && redirect_enter(redirect) < 0) {
            fprintf(stderr, "hawser %s: %s: %s\n", v->name, redirect->group, strerror(errno));
            _exit(EXIT_NO_EXEC);
        }
        execvp(argv[0], argv);
        fprintf(stderr, "hawser %s: %s: %s\n", v->name, argv[0], strerror(errno));
        _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NO_EXEC);
    }
    if (pid < 0)
        verb_fail(v, "%s", strerror(errno));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return pid;
}

/* --- the loop --- */

struct family {
    pid_t first;
    int code; /* of the first, by now */
    bool any; /* somebody is left */
};

static void reap(struct family *f)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == f->first) {
            f->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            f->first = -1;
        }
    f->any = pid == 0;
}

static void on_signals(int fd, struct family *f)
{
    struct signalfd_siginfo si;

    while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGCHLD)
            reap(f);
        else if (f->first > 0 && si.ssi_code <= 0) /* somebody's, not the terminal's: that has told all */
            kill(f->first, (int)si.ssi_signo);
    }
}

static int pump_until_gone(const struct verb *v, struct pump *p, int signals, struct family *f)
{
    instant until = INSTANT_NEVER;
    int r = 0;

    while (f->any || pump_count(p) > 0) {
        instant now = clock_now();

        if (!f->any && until == INSTANT_NEVER)
            until = now + DRAIN;
        if (now >= until)
            break;
        r = pump_process(p, signals, until == INSTANT_NEVER ? -1 : (int)((until - now + MSEC - 1) / MSEC));
        if (r < 0)
            return verb_fail(v, "%s", strerror(-r));
        if (r > 0)
            on_signals(signals, f);
    }
    return f->code;
}

static int run(const struct verb *v, const struct pump_options *o, char **argv, const struct redirect *redirect)
{
    struct family f = { .any = true };
    struct pump *p;
    sigset_t set, before;
    int signals, r = pump_new(o, &p);

    if (r < 0)
        return verb_fail(v, "%s", strerror(-r));
    sigemptyset(&set);
    for (size_t i = 0; i < 7; i++)
        sigaddset(&set, (int[]){ SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 }[i]);
    signal(SIGPIPE, SIG_IGN);
    signals = sigprocmask(SIG_BLOCK, &set, &before) < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        r = verb_fail(v, "%s", strerror(errno));
    else
        r = redirect ? EXIT_DONE : set_environment(v, p);
    if (r == EXIT_DONE) {
        f.first = start(v, argv, &before, redirect);
        r = f.first < 0 ? EXIT_FAILED : pump_until_gone(v, p, signals, &f);
    }
    pump_free(p);
    if (signals >= 0)
        close(signals);
    return r;
}

/* --- options --- */

/* ADDRESS[:PORT]=KEY. Keeps a pointer into text. */
static bool add_pin(struct pump_options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    struct pump_pin *pin = &o->pins[o->pins_count];
    char at[ENDPOINT_STRLEN];
    struct peer_key key;
    size_t len = equals ? (size_t)(equals - text) : 0;

    if (!equals || len >= sizeof(at) || o->pins_count == PUMP_PINS_MAX || peer_key_decode(equals + 1, &key) < 0)
        return false;
    memcpy(at, text, len);
    at[len] = '\0';
    pin->at.port = 0;
    if (addr_parse(at, &pin->at.addr) < 0 && endpoint_parse(at, 0, &pin->at) < 0)
        return false;
    pin->key = equals + 1;
    o->pins_count++;
    return true;
}

/* A file of such lines, which lives in `text` from then on. An exit code. */
static int read_pins(const struct verb *v, struct pump_options *o, const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, size - 1, f) : 0;
    unsigned number = 0;
    char *line = text;

    if (!f)
        return verb_fail(v, "%s: %s", path, strerror(errno));
    fclose(f);
    text[n] = '\0';
    if (n == size - 1)
        return verb_fail(v, "%s: too long, expected at most %zu bytes", path, size - 1);
    while (*line) {
        char *next = line + strcspn(line, "\n");

        next += *next == '\n';
        line[strcspn(line, "\n")] = '\0';
        number++;
        if (*line && *line != '#' && !add_pin(o, line))
            return verb_fail(v, "%s:%u: expected ADDRESS=KEY or ADDRESS:PORT=KEY, %d at most", path, number,
                             PUMP_PINS_MAX);
        line = next;
    }
    return EXIT_DONE;
}

int verb_run(const struct verb *v, int argc, char **argv)
{
    static char pins_text[PUMP_PINS_MAX * 160];
    static struct pump_options o;
    const char *pins[MANY] = { NULL }, *excludes[MANY] = { NULL }, *pins_file = NULL;
    struct verb_option options[2 * MANY + 5];
    struct redirect redirect;
    bool redirects = false;
    size_t n = 0;
    int split = 1, r;

    /* Without options the dashes may be left out. */
    if (argc > 1 && argv[1][0] != '-')
        split = 0;
    while (split > 0 && split < argc && strcmp(argv[split], "--") != 0)
        split++;
    if (split + 1 >= argc)
        return verb_misused(v, "expected -- and a program");
    for (size_t i = 0; i < MANY; i++) {
        options[n++] = (struct verb_option){ "pin", &pins[i], NULL };
        options[n++] = (struct verb_option){ "exclude", &excludes[i], NULL };
    }
    options[n++] = (struct verb_option){ "pins", &pins_file, NULL };
    options[n++] = (struct verb_option){ "key", &o.key_file, NULL };
    options[n++] = (struct verb_option){ "verbose", NULL, &o.verbose };
    options[n++] = (struct verb_option){ "redirect", NULL, &redirects };
    options[n] = (struct verb_option){ NULL, NULL, NULL };
    if (split > 0) {
        argv[split] = NULL;
        r = verb_options(v, split, argv, options);
        if (r < 0)
            return EXIT_USAGE;
        if (r > 0)
            return verb_misused(v, "found %s before --", argv[1]);
    }
    o.verb = v;
    for (size_t i = 0; i < MANY && pins[i]; i++)
        if (!add_pin(&o, pins[i]))
            return verb_misused(v, "found --pin %s, expected ADDRESS=KEY or ADDRESS:PORT=KEY", pins[i]);
    for (size_t i = 0; i < MANY && excludes[i]; i++)
        if (prefix_parse(excludes[i], false, &o.excludes[o.excludes_count++]) < 0)
            return verb_misused(v, "found --exclude %s, expected a prefix", excludes[i]);
    if (pins_file) {
        r = read_pins(v, &o, pins_file, pins_text, sizeof(pins_text));
        if (r != EXIT_DONE)
            return r;
    }
    r = check_program(v, argv[split + 1], redirects);
    o.redirect_fds[0] = o.redirect_fds[1] = -1;
    if (r != 0 || !redirects)
        return r ? r : run(v, &o, argv + split + 1, NULL);
    if (redirect_open(&redirect, o.excludes, o.excludes_count) < 0)
        return verb_fail(v, "%s", redirect.err);
    memcpy(o.redirect_fds, redirect.fds, sizeof(o.redirect_fds));
    r = run(v, &o, argv + split + 1, &redirect);
    redirect_close(&redirect);
    return r;
}
