"""How commands hold many episodes."""

import gc

import pytest

from palaestra.cli.memory import no_cycles


@pytest.mark.parametrize("before", [True, False])
def test_cycles_are_looked_for_again_afterwards(before):
    was_on = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with no_cycles():
            assert not gc.isenabled()
        assert gc.isenabled() == before
        with pytest.raises(ZeroDivisionError), no_cycles():
            print(1 / 0)
        assert gc.isenabled() == before
    finally:
        (gc.enable if was_on else gc.disable)()
