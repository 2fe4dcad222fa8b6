/* Moves CLOCK_BOOTTIME and the wall clock of one process by what a file says, as a suspend of the host does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds to add: to CLOCK_BOOTTIME, to the wall clock. */
static volatile const int64_t *seconds;

__attribute__((constructor)) static void map_seconds(void) {
  const char *path = getenv("SLEEPER_FILE");
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) seconds = mapped;
  close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result != 0 || seconds == NULL) return result;
  if (clock == CLOCK_BOOTTIME) now->tv_sec += seconds[0];
  if (clock == CLOCK_REALTIME) now->tv_sec += seconds[1];
  return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec exact;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}
