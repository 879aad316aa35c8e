"""What was measured: FORMAT.md §5.12. SAMPLE frames in, samples in order out."""
import collections

from frames import M32, MAX_ID, MAX_PROCESS, Cursor, demand, unzigzag

LIMIT = 2**63 - 1
FIELDS = dict(
    enumerate(
        "rss pss pss_anon pss_file pss_shmem shared_clean shared_dirty private_clean private_dirty anon file shmem"
        " anon_huge lazy_free locked swap swap_pss peak_rss virtual page_tables minor_faults major_faults threads"
        " cpu_ns".split(),
        1,
    )
)
FIELDS.update(
    enumerate(
        "group_current group_peak group_max group_high group_swap group_swap_max group_low_events group_high_events"
        " group_max_events group_oom_events group_oom_kills group_pressure_some_ns group_pressure_full_ns".split(),
        32,
    )
)
FIELDS.update(
    enumerate("hook_ns hooks_timed stall_ns lost_events arena arena_peak sampling_ns".split(), 48)
)
Sample = collections.namedtuple("Sample", "process group time event cost values")


def running_sums(c, n):
    total, sums = 0, []
    for difference in c.varints(n, 0, LIMIT):
        total += difference
        demand(total <= LIMIT, "a number out of range")
        sums.append(total)
    return sums


def column(c, subjects):
    """A field's value for each sample, None where it is not known."""
    shift, last, values = c.u8(), collections.Counter(), []
    demand(shift <= 30, "a shift out of range")
    for subject, coded in zip(subjects, c.varints(len(subjects))):
        if coded:
            last[subject] += unzigzag(coded - 1)
            demand(0 <= last[subject] << shift <= LIMIT, "a value out of range")
        values.append(last[subject] << shift if coded else None)
    c.finish()
    return values


def read(payload, n):
    """The n samples of a frame."""
    demand(1 <= n <= 4096 and n <= len(payload), "the number of samples is out of range")
    c = Cursor(payload)
    n_subjects = c.varint(1, n)
    processes, groups = c.varints(n_subjects, 0, MAX_PROCESS), c.varints(n_subjects, 0, MAX_ID)
    subjects = c.varints(n, 0, n_subjects - 1)
    times, events, costs = running_sums(c, n), running_sums(c, n), c.varints(n, 0, LIMIT)
    samples = [
        Sample(processes[s], groups[s], time, event, cost, {})
        for s, time, event, cost in zip(subjects, times, events, costs)
    ]
    before = 0
    for _ in range(c.varint()):
        before = field = c.varint(before + 1, M32)
        data = c.take(c.varint())
        if field >= 64:  # a later version's
            continue
        for sample, value in zip(samples, column(Cursor(data), subjects)):
            if value is not None:
                sample.values[field] = value
    c.finish()
    return samples
