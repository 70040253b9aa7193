from pipeline.overload import WINDOW_S, Overload
from pipeline.state.shedding import TOP


def naps(overload, late_s, since, count=21):
    """So many short sleeps that end so late."""
    for n in range(count):
        overload.woke(late_s, since + n * 0.1)
    return since + count * 0.1


def test_while_the_process_keeps_up_all_come_in():
    overload = Overload()
    assert all(overload.admits(3, f"k{n}", 0.0) for n in range(1000))
    naps(overload, 0.01, 0.0)
    assert (overload.level, overload.late, overload.share, overload.shed) == (TOP, False, 1.0, 0)


def test_the_lowest_class_is_shed_first_and_comes_back():
    overload, now = Overload(), 0.0
    for _ in range(6):
        for n in range(1000):
            overload.admits(n % 4, f"k{n}", now)
        now = naps(overload, 0.5, now)
    assert overload.late
    assert 256 < overload.level < 400
    assert overload.admits(0, "k", now)
    assert overload.shed > 0
    while overload.level < TOP and now < 1000:
        for n in range(1000):
            overload.admits(n % 4, f"k{n}", now)
        now = naps(overload, 0.0, now)
    assert not overload.late
    assert now < 150 * WINDOW_S


def test_where_nobody_comes_it_is_over_at_once():
    overload = Overload(level=100)
    naps(overload, 0.0, 0.0)
    assert overload.level == TOP
