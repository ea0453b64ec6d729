/**
 * The default seccomp profile as data: which system calls a container may make, and on what that
 * depends. Its effect is that of Docker's default profile (docs.docker.com, "Seccomp security
 * profiles"), including what its newer versions take away: io_uring and AF_VSOCK sockets. Unknown
 * names are fine, libseccomp leaves them out. `seccomp.ts` evaluates it.
 */
import type { OciSyscallArg } from './oci.ts'

/** A rule holds where all of its conditions do. */
export type SeccompRule = {
  readonly names: readonly string[]
  /** Any of these capabilities is in the bounding set. */
  readonly capabilities?: readonly string[]
  /** None of these is. */
  readonly withoutCapabilities?: readonly string[]
  readonly architectures?: readonly string[]
  /** At least this kernel. */
  readonly kernel?: readonly [number, number]
  /** Refused with this errno instead of allowed. */
  readonly errno?: number
  readonly args?: readonly OciSyscallArg[]
}

const ENOSYS = 38
const AF_VSOCK = 40
/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: every flag that makes a namespace. */
const CLONE_NAMESPACE_FLAGS = 0x7e020000
/** PER_LINUX, PER_LINUX32, both with UNAME26, and "what is it now". */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

/** What everybody may call, whatever the machine. */
const EVERYBODY: readonly string[] = [
  // Files and directories.
  ...words(`
    access faccessat faccessat2 open openat openat2 creat close close_range read pread64 readv preadv
    preadv2 write pwrite64 writev pwritev pwritev2 lseek _llseek dup dup2 dup3 fcntl fcntl64 flock
    ioctl stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs
    fstatfs64 chdir fchdir getcwd mkdir mkdirat rmdir mknod mknodat link linkat unlink unlinkat
    symlink symlinkat readlink readlinkat rename renameat renameat2 chmod fchmod fchmodat fchmodat2
    chown chown32 fchown fchown32 fchownat lchown lchown32 umask truncate truncate64 ftruncate
    ftruncate64 fallocate utime utimes utimensat utimensat_time64 futimesat getdents getdents64
    sync syncfs fsync fdatasync sync_file_range readahead fadvise64 fadvise64_64 sendfile sendfile64
    splice tee vmsplice copy_file_range cachestat getxattr lgetxattr fgetxattr getxattrat setxattr
    lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr listxattrat removexattr
    lremovexattr fremovexattr removexattrat file_getattr file_setattr inotify_init inotify_init1
    inotify_add_watch inotify_rm_watch fanotify_mark`),
  // Waiting and events.
  ...words(`
    poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2
    signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 pipe pipe2 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
    io_pgetevents_time64`),
  // Memory.
  ...words(`
    brk mmap mmap2 munmap mremap remap_file_pages mprotect madvise mincore msync mlock mlock2
    mlockall munlock munlockall memfd_create memfd_secret membarrier pkey_alloc pkey_free
    pkey_mprotect map_shadow_stack mseal process_mrelease rseq`),
  // Processes and threads, who they are, and what they may use.
  ...words(`
    execve execveat exit exit_group fork vfork wait4 waitid waitpid getpid getppid gettid getpgid
    getpgrp setpgid getsid setsid pidfd_open pidfd_send_signal prctl getuid getuid32 geteuid
    geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32
    getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
    setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups
    setgroups32 capget capset getrlimit ugetrlimit setrlimit prlimit64 getrusage getpriority
    setpriority ioprio_get ioprio_set sched_yield sched_getaffinity sched_setaffinity sched_getattr
    sched_setattr sched_getparam sched_setparam sched_getscheduler sched_setscheduler
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64
    getcpu set_tid_address set_robust_list get_robust_list get_thread_area set_thread_area futex
    futex_time64 futex_waitv futex_wait futex_wake futex_requeue restart_syscall seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self sysinfo uname getrandom
    uretprobe`),
  // Signals.
  ...words(`
    kill tkill tgkill pause alarm sigaltstack sigprocmask sigreturn rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo`),
  // Time, read and waited for. clock_adjtime needs CAP_SYS_TIME to change anything.
  ...words(`
    time times gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 nanosleep adjtimex clock_adjtime clock_adjtime64 getitimer
    setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64`),
  // Sockets but their creation, and System V and POSIX communication.
  ...words(`
    socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername
    getsockopt setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg
    recvmmsg_time64 ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64
    shmat shmctl shmdt shmget mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64`),
]

export const SECCOMP_RULES: readonly SeccompRule[] = [
  { names: EVERYBODY },
  { names: ['process_vm_readv', 'process_vm_writev', 'ptrace'], kernel: [4, 8] },
  { names: ['socket'], args: [{ index: 0, value: AF_VSOCK, op: 'SCMP_CMP_NE' }] },
  ...PERSONALITIES.map(
    (value): SeccompRule => ({
      names: ['personality'],
      args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
    }),
  ),

  { names: ['arch_prctl', 'modify_ldt'], architectures: ['x64'] },
  {
    names: words(
      'arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls',
    ),
    architectures: ['arm64'],
  },

  // Threads and processes, but no namespaces: of clone3 the flags cannot be seen, and ENOSYS makes
  // the C libraries fall back to clone.
  {
    names: ['clone'],
    withoutCapabilities: ['CAP_SYS_ADMIN'],
    args: [{ index: 0, value: CLONE_NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
  },
  { names: ['clone3'], withoutCapabilities: ['CAP_SYS_ADMIN'], errno: ENOSYS },

  { names: ['open_by_handle_at'], capabilities: ['CAP_DAC_READ_SEARCH'] },
  {
    names: words(`
      bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie
      lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
      name_to_handle_at open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname
      setns statmount syslog umount umount2 unshare`),
    capabilities: ['CAP_SYS_ADMIN'],
  },
  { names: ['reboot'], capabilities: ['CAP_SYS_BOOT'] },
  { names: ['chroot'], capabilities: ['CAP_SYS_CHROOT'] },
  { names: ['delete_module', 'init_module', 'finit_module'], capabilities: ['CAP_SYS_MODULE'] },
  { names: ['acct'], capabilities: ['CAP_SYS_PACCT'] },
  {
    names: words('kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace'),
    capabilities: ['CAP_SYS_PTRACE'],
  },
  { names: ['iopl', 'ioperm'], capabilities: ['CAP_SYS_RAWIO'] },
  {
    names: words('settimeofday stime clock_settime clock_settime64'),
    capabilities: ['CAP_SYS_TIME'],
  },
  { names: ['vhangup'], capabilities: ['CAP_SYS_TTY_CONFIG'] },
  {
    names: words('get_mempolicy mbind set_mempolicy set_mempolicy_home_node'),
    capabilities: ['CAP_SYS_NICE'],
  },
  { names: ['syslog'], capabilities: ['CAP_SYSLOG'] },
  { names: ['bpf'], capabilities: ['CAP_BPF'] },
  { names: ['perf_event_open'], capabilities: ['CAP_PERFMON'] },
]
