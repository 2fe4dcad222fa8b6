/** The layouts of the structures of C: those of the system's headers, of the other machine, and of replies. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { infoControlOctets, LAYOUT } from '../../src/runtime/libc.ts';

t.test('layouts are those of the system’s headers', { skip: hasCompiler() ? false : 'no gcc' }, async (t) => {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  const printed = compileAndRun(`
    #define _GNU_SOURCE
    #include <stddef.h>
    #include <stdio.h>
    #include <netinet/in.h>
    #include <sys/epoll.h>
    #include <sys/socket.h>
    #define H(f) offsetof(struct mmsghdr, f)
    int main(void) {
      printf("%zu %zu %zu %zu %zu ", sizeof(struct mmsghdr), H(msg_hdr.msg_name), H(msg_hdr.msg_namelen),
        H(msg_hdr.msg_iov), H(msg_hdr.msg_iovlen));
      printf("%zu %zu %zu ", H(msg_hdr.msg_control), H(msg_hdr.msg_controllen), H(msg_len));
      printf("%zu %zu %zu ", sizeof(struct iovec), offsetof(struct iovec, iov_base), offsetof(struct iovec, iov_len));
      printf("%zu %zu %zu %zu ", sizeof(struct cmsghdr), offsetof(struct cmsghdr, cmsg_len),
        offsetof(struct cmsghdr, cmsg_level), offsetof(struct cmsghdr, cmsg_type));
      printf("%zu %zu %zu %zu ", sizeof(struct in_pktinfo), offsetof(struct in_pktinfo, ipi_ifindex),
        offsetof(struct in_pktinfo, ipi_spec_dst), offsetof(struct in_pktinfo, ipi_addr));
      printf("%zu %zu %zu ", sizeof(struct in6_pktinfo), offsetof(struct in6_pktinfo, ipi6_addr),
        offsetof(struct in6_pktinfo, ipi6_ifindex));
      printf("%zu %zu\\n", sizeof(struct epoll_event), offsetof(struct epoll_event, data));
    }`);
  const { mmsghdr, iovec, cmsghdr, pktinfo4, pktinfo6, epollEvent } = LAYOUT;
  const ours = [mmsghdr, iovec, cmsghdr, pktinfo4, pktinfo6, epollEvent[arch]].flatMap((layout) =>
    Object.values(layout),
  );
  t.strictSame(printed.trim().split(' ').map(Number), ours);
});

t.test('the packet information of a reply fits into what the kernel has on its stack', async (t) => {
  // net/socket.c: `ctl[sizeof(struct cmsghdr) + 20]`; a longer message costs an allocation for each reply
  t.same([infoControlOctets(4), infoControlOctets(6)], [28, 36]);
});

t.test('the layout that this machine does not have is the one that the compiler’s rules give', async (t) => {
  // packed on x64 (for its 32-bit programs), naturally aligned elsewhere: 4 octets, 4 of padding, 8 of data
  t.strictSame(LAYOUT.epollEvent, { x64: { size: 12, data: 4 }, arm64: { size: 16, data: 8 } });
});
function hasCompiler(): boolean {
  return process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0;
}

function compileAndRun(source: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-layouts-'));
  try {
    writeFileSync(join(directory, 'layouts.c'), source);
    const program = join(directory, 'layouts');
    const compiled = spawnSync('gcc', ['-o', program, join(directory, 'layouts.c')], { encoding: 'utf8' });
    if (compiled.status !== 0) throw new Error(compiled.stderr);
    return spawnSync(program, { encoding: 'utf8' }).stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
