/* A stand-in for hawserd's control socket: answers every line with the one line of a file, in which @PID@ is our
 * process, and appends what was asked to SOCKET.asked. Usage: cli_stub SOCKET FILE. Ends by a signal. */
#include "base/base.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void answer(int fd, const char *asked_path, const char *before, const char *after)
{
    char line[4096];
    size_t len = 0;
    FILE *asked;

    while (len < sizeof(line) && read(fd, line + len, 1) == 1 && line[len] != '\n')
        len++;
    asked = fopen(asked_path, "ae");
    if (asked) {
        fprintf(asked, "%.*s\n", (int)len, line);
        fclose(asked);
    }
    if (after)
        dprintf(fd, "%s%d%s", before, (int)getpid(), after);
    else
        dprintf(fd, "%s", before);
}

int main(int argc, char **argv)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    char asked[256], text[65536], *mark;
    FILE *file = argc == 3 ? fopen(argv[2], "re") : NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!file || fd < 0 || !fgets(text, sizeof(text), file) || strlen(argv[1]) >= sizeof(sa.sun_path))
        return 1;
    fclose(file);
    mark = strstr(text, "@PID@");
    if (mark)
        *mark = '\0';
    memcpy(sa.sun_path, argv[1], strlen(argv[1]) + 1);
    snprintf(asked, sizeof(asked), "%s.asked", argv[1]);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0)
        return 1;
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client < 0)
            return 1;
        answer(client, asked, text, mark ? mark + 5 : NULL);
        close(client);
    }
}
