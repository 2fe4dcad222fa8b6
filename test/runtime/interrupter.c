/*
 * LD_PRELOAD: every INTERRUPT_EVERY-th call of each of these functions does nothing and fails with EINTR, as if a signal had
 * come in between. `interruptions(at)` says how often that was so, in the order of CALLS.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { SOCKET, CONNECT, SEND, RECVMMSG, SENDMMSG, EPOLL_WAIT, CALLS };

static unsigned made[CALLS], interrupted[CALLS];

static int is_interrupted(int call) {
  static int every;
  if (every == 0) every = atoi(getenv("INTERRUPT_EVERY"));
  if (__atomic_add_fetch(&made[call], 1, __ATOMIC_RELAXED) % every != 0) return 0;
  __atomic_add_fetch(&interrupted[call], 1, __ATOMIC_RELAXED);
  errno = EINTR;
  return 1;
}

unsigned interruptions(int call) { return interrupted[call]; }

#define REAL(name) \
  static typeof(name) *real; \
  if (real == NULL) real = (typeof(name) *)dlsym(RTLD_NEXT, #name)

int socket(int domain, int type, int protocol) {
  REAL(socket);
  return is_interrupted(SOCKET) ? -1 : real(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *name, socklen_t octets) {
  REAL(connect);
  return is_interrupted(CONNECT) ? -1 : real(fd, name, octets);
}

ssize_t send(int fd, const void *from, size_t octets, int flags) {
  REAL(send);
  return is_interrupted(SEND) ? -1 : real(fd, from, octets, flags);
}

int recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *limit) {
  REAL(recvmmsg);
  return is_interrupted(RECVMMSG) ? -1 : real(fd, headers, count, flags, limit);
}

int sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags) {
  REAL(sendmmsg);
  return is_interrupted(SENDMMSG) ? -1 : real(fd, headers, count, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
  REAL(epoll_wait);
  return is_interrupted(EPOLL_WAIT) ? -1 : real(fd, events, most, timeout);
}
