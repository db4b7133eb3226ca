from palaestra.envs.instructions.chinese import SIMPLIFIED, TRADITIONAL
from palaestra.envs.instructions.chinese_build import build


def test_scripts_do_not_meet_and_shared_characters_are_in_neither():
    assert not SIMPLIFIED & TRADITIONAL
    assert set("国发体这语") <= SIMPLIFIED
    assert set("國發體這語") <= TRADITIONAL
    assert not set("中文的一干后里") & (SIMPLIFIED | TRADITIONAL)


def test_the_table_is_built_from_what_always_changes(tmp_path):
    (tmp_path / "STCharacters.txt").write_text("# head\n国\t國\n后\t後 后\n台\t臺 台\n", encoding="utf-8")
    (tmp_path / "TSCharacters.txt").write_text("國\t国\n後\t后\n乾\t干 乾\n", encoding="utf-8")
    assert build(tmp_path).splitlines()[1:] == ["国", "國後"]
