/* What a program on Alpine asks of its C library: the IPv4 addresses of argv[1], one a line. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **arguments) {
  if (count != 2) return 2;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found, *one;
  int error = getaddrinfo(arguments[1], "443", &hints, &found);
  if (error != 0) {
    fprintf(stderr, "%s\n", gai_strerror(error));
    return 1;
  }
  for (one = found; one != NULL; one = one->ai_next) {
    char text[INET_ADDRSTRLEN];
    if (one->ai_family != AF_INET) continue;
    inet_ntop(AF_INET, &((struct sockaddr_in *)one->ai_addr)->sin_addr, text, sizeof text);
    puts(text);
  }
  freeaddrinfo(found);
  return 0;
}
