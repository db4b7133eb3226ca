from palaestra.envs.sandbox import doctor


def test_it_is_green_where_both_executors_work(need_monty, need_process):
    found = list(doctor.examine())
    assert [finding.name for finding in found if not finding.works] == [], found
    assert {"monty", "bubblewrap", "monty: escapes", "process: escapes"} <= {finding.name for finding in found}


def test_it_names_what_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "find_bubblewrap", lambda: "")
    monkeypatch.setattr(doctor.monty, "version", lambda: "")
    found = list(doctor.examine())
    assert [finding.works for finding in found] == [False, False]
    assert "palaestra[sandbox]" in found[0].told
    assert "Install bubblewrap" in found[1].told


def test_it_notices_an_escape(need_process, monkeypatch):
    leak = {
        "name": "a result that is not right",
        "source": "def attack(port, marker):\n    return 1\n",
        "monty": ["error"],
        "process": ["blocked"],
    }
    monkeypatch.setattr(doctor, "escapes", lambda: [leak])
    monkeypatch.setattr(doctor.monty, "version", lambda: "")
    last = list(doctor.examine())[-1]
    assert not last.works
    assert last.told == "a result that is not right ended as ok"


def test_its_list_has_a_row_for_each_kind_of_escape():
    rows = doctor.escapes()
    assert len(rows) >= 8
    assert all({"name", "source", "monty", "process"} == set(row) for row in rows)
