/**
 * System calls of ranks, which have the network of this machine. Rules know a socket by the group of whoever opened it; so there are
 * none but the common ones, opened by `socket`: SMC, MPTCP and their like are connections that the kernel opens in its own name, and
 * io_uring opens sockets without a system call. For 64-bit programs alone, since others have a call that says all by a pointer. Pure.
 */
import { ALLOW, CLONE } from "./seccomp.ts";

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK */
const DOMAINS = [1, 2, 10, 16];
/** MPTCP is the first above. */
const PROTOCOLS = 256;
/** Those of programs that run as ever, and the question which one it is. */
const PERSONALITIES = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const ENOSYS = 38;

/** What Docker allows a container without capabilities, and no old ways to say the same. */
const NAMES = `
  accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres clock_gettime
  clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
  epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod
  fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync
  ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu
  getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority
  getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
  inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get
  ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
  llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mkdir
  mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
  mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2
  pause pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
  prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink
  readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
  sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
  sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
  semop semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsuid
  setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr
  shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync
  sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
  timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write
  writev`.trim().split(/\s+/);

const argument = (index: number, op: "EQ" | "LT", value: number) => (
  { index, value, valueTwo: 0, op: `SCMP_CMP_${op}` }
);

/** As both engines read it. */
export const rankFilter = (): string =>
  JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    archMap: ["X86_64", "AARCH64"].map((name) => ({
      architecture: `SCMP_ARCH_${name}`,
      subArchitectures: [],
    })),
    syscalls: [
      { names: NAMES, action: ALLOW, args: [] },
      CLONE,
      ...DOMAINS.map((domain) => ({
        names: ["socket"],
        action: ALLOW,
        args: [argument(0, "EQ", domain), argument(2, "LT", PROTOCOLS)],
      })),
      ...PERSONALITIES.map((one) => ({
        names: ["personality"],
        action: ALLOW,
        args: [argument(0, "EQ", one)],
      })),
      // The C library takes `clone` then.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", args: [], errnoRet: ENOSYS },
    ],
  });
