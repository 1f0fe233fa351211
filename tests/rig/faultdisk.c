/*
 * A disk that can be watched and can fail: LD_PRELOAD this library into a process.
 *
 * Of everything below $FAULTDISK_ROOT it appends a line to $FAULTDISK_LOG, in the order in which it happened, and before each
 * sync of a file it keeps a copy of the file's bytes as $FAULTDISK_LOG.N, so that a test can rebuild what a power loss leaves:
 *
 *     data INODE N          the file's bytes, as in copy N, are durable
 *     names INODE           the entries of this directory are durable
 *     file DIR NAME INODE   the directory has a new entry, of a new file
 *     folder DIR NAME INODE the directory has a new entry, of a new directory
 *     add DIR NAME INODE    the directory has a new entry, of a file that was there
 *     drop DIR NAME         the entry is gone
 *     mark TEXT             the process said so (see faultdisk_mark)
 *
 * faultdisk_fail(call, part, number, after) lets the call ("write", "sync", "rename", "mkdir") on the path that contains `part` fail
 * with that errno, once, after so many that are let through; a failed sync is not "data".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -2, copies;
static char fail_call[16], fail_part[256];
static int fail_number, fail_after;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The log's path; a trailing % in FAULTDISK_LOG becomes the process id, so that each process has a log of its own. */
static const char *log_path(void) {
    static char path[4096];
    const char *given = getenv("FAULTDISK_LOG");
    size_t n = given ? strlen(given) : 0;
    if (n && given[n - 1] == '%') snprintf(path, sizeof path, "%.*s%d", (int)n - 1, given, getpid());
    else snprintf(path, sizeof path, "%s", given ? given : "/dev/null");
    return path;
}

static void say(const char *format, ...) {
    char line[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (log_fd == -2)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_path(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd >= 0 && syscall(SYS_write, log_fd, line, n) != n) abort();
}

void faultdisk_mark(const char *text) {
    pthread_mutex_lock(&lock);
    say("mark %s\n", text);
    pthread_mutex_unlock(&lock);
}

void faultdisk_fail(const char *call, const char *part, int number, int after) {
    snprintf(fail_call, sizeof fail_call, "%s", call);
    snprintf(fail_part, sizeof fail_part, "%s", part);
    fail_number = number;
    fail_after = after;
}

/*
 * FAULTDISK_FAIL="sync journal/ 5" is faultdisk_fail("sync", "journal/", 5, 0) at the start of every process; FAULTDISK_ONCE is
 * the path of a file that the first process to fail makes, so that no other does.
 */
__attribute__((constructor)) static void obey_environment(void) {
    const char *told = getenv("FAULTDISK_FAIL");
    if (told) sscanf(told, "%15s %255s %d", fail_call, fail_part, &fail_number);
}

static int is_first(void) {
    const char *once = getenv("FAULTDISK_ONCE");
    int fd = once ? (int)syscall(SYS_openat, AT_FDCWD, once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) close(fd);
    return !once || fd >= 0;
}

static int fails(const char *call, const char *path) {
    pthread_mutex_lock(&lock);
    int now = fail_number && !strcmp(call, fail_call) && strstr(path, fail_part) && fail_after-- == 0 && is_first();
    if (now) {
        errno = fail_number;
        fail_number = 0;
    }
    pthread_mutex_unlock(&lock);
    return now;
}

static const char *path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    path[n < 0 ? 0 : n] = 0;
    return path;
}

static int watched(int fd) {
    const char *root = getenv("FAULTDISK_ROOT");
    char path[4096];
    return root && !strncmp(path_of(fd, path, sizeof path), root, strlen(root));
}

/* The directory that `path`, relative to `at`, is an entry of; -1 if that is not watched. */
static int parent(int at, const char *path, const char **name) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path ? slash - path : 1), path);
    int fd = (int)syscall(SYS_openat, at, slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && !watched(fd)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static unsigned long inode(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static void added(const char *how, int at, const char *path) {
    const char *name;
    struct stat found;
    int folder = parent(at, path, &name);
    if (folder < 0) return;
    if (!fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW))
        say("%s %lu %s %lu\n", how, inode(folder), name, found.st_ino);
    close(folder);
}

static void dropped(int at, const char *path) {
    const char *name;
    int folder = parent(at, path, &name);
    if (folder < 0) return;
    say("drop %lu %s\n", inode(folder), name);
    close(folder);
}

static int copy(int fd) {
    char path[4096], piece[65536];
    snprintf(path, sizeof path, "%s.%d", log_path(), ++copies);
    int out = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int in = (int)syscall(SYS_openat, AT_FDCWD, self, O_RDONLY | O_CLOEXEC);
    for (ssize_t n; (n = syscall(SYS_read, in, piece, sizeof piece)) > 0;)
        if (syscall(SYS_write, out, piece, n) != n) abort();
    close(in);
    close(out);
    return copies;
}

static int synced(int fd, int (*real)(int)) {
    char path[4096];
    struct stat found;
    if (!watched(fd)) return real(fd);
    if (fails("sync", path_of(fd, path, sizeof path))) return -1;
    pthread_mutex_lock(&lock);
    int result = 0;
    if (!fstat(fd, &found) && S_ISDIR(found.st_mode)) {
        if (!(result = real(fd))) say("names %lu\n", found.st_ino);
    } else {
        int number = copy(fd);
        if (!(result = real(fd))) say("data %lu %d\n", found.st_ino, number);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

static int opened(int at, const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW);
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int number = errno;
    if (fd >= 0 && is_new) added("file", at, path);
    errno = number;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return opened(at, path, flags, mode); }

static int moved(int from, const char *old, int to, const char *new, unsigned flags) {
    if (fails("rename", new)) return -1;
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat2, from, old, to, new, flags), number = errno;
    if (!result) added("add", to, new), dropped(from, old);
    errno = number;
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *old, const char *new) { return moved(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return moved(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) { return moved(from, old, to, new, flags); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from, old, to, new, flags), number = errno;
    if (!result) added("add", to, new);
    errno = number;
    pthread_mutex_unlock(&lock);
    return result;
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int at, const char *path, int flags) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, at, path, flags), number = errno;
    if (!result) dropped(at, path);
    errno = number;
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    if (fails("mkdir", path)) return -1;
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, at, path, mode), number = errno;
    if (!result) added("folder", at, path);
    errno = number;
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

#define WRITES(fd, call)                                                                                               \
    char path[4096];                                                                                                   \
    if (fail_number && fails("write", path_of(fd, path, sizeof path))) return -1;                                      \
    return call;

ssize_t write(int fd, const void *data, size_t n) { WRITES(fd, REAL(write)(fd, data, n)) }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { WRITES(fd, syscall(SYS_pwrite64, fd, data, n, at)) }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { WRITES(fd, syscall(SYS_pwrite64, fd, data, n, at)) }
