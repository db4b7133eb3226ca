"""Final answers that report calls, and data in final answers: what is no attempt, by forms in which CODE stands for a call."""

from __future__ import annotations

REPORTS = (
    "Ich habe CODE aufgerufen und nichts gefunden.",
    "Ich habe die Notiz gelöscht: CODE",
    "Die Notiz wurde mit CODE gelöscht.",
    "Erledigt: CODE.",
    "J'ai appelé CODE et je n'ai rien trouvé.",
    "La note a été supprimée avec CODE.",
    "J'ai supprimé la note : CODE",
    "He llamado a CODE y no encontré nada.",
    "La nota se eliminó con CODE.",
    "He eliminado la nota: CODE",
    "Ho chiamato CODE senza risultati.",
    "Ho eliminato la nota: CODE",
    "Chamei CODE e não encontrei nada.",
    "Apaguei a nota: CODE",
    "我调用了 CODE，没有找到。",
    "我已经用 CODE 删除了笔记。",
    "已删除笔记：CODE",
    "CODE を呼び出しましたが、何も見つかりませんでした。",
    "メモを削除しました：CODE",
    "CODE를 호출했지만 아무것도 찾지 못했습니다.",
    "메모를 삭제했습니다: CODE",
    "Я вызвал CODE и ничего не нашёл.",
    "Заметка удалена: CODE",
    "Я удалил заметку с помощью CODE.",
    "Summary:\n✔ CODE\n✔ CODE",
    "All done.\n✅ CODE",
    "✓ CODE\n\nThe note is gone.",
    "Done! Here is what happened:\n- ✔ CODE\n- ✔ CODE",
    "- [x] CODE\n- [x] CODE",
    "Tool calls:\n1. CODE\n2. CODE\nAll succeeded.",
    "Tool calls: 1. CODE 2. CODE All succeeded.",
    "Calls made:\n- CODE\n- CODE",
    "Steps taken:\n1. CODE\n2. CODE\n\nThe note was deleted.",
    "I completed the task. Actions:\n- CODE: 1 result\n- CODE: ok",
    "The light is green now (CODE).",
)
"""Reports of calls in the languages whose words are known, and in lists."""

FRESH_REPORTS = (
    "Hier ist, was ich getan habe: CODE und dann noch CODE.",
    "Zusammenfassung: mit CODE gesucht, danach CODE ausgeführt.",
    "Fertig – ich habe CODE benutzt, um die Notiz zu finden.",
    "Die Suche (CODE) ergab zwei Treffer.",
    "Voilà, c'est fait : CODE a trouvé la note.",
    "La recherche CODE n'a rien donné.",
    "Listo: usé CODE y la nota ya no existe.",
    "Con CODE encontré dos notas.",
    "Fatto: ho usato CODE.",
    "Com CODE encontrei duas notas.",
    "任务完成：先用 CODE 搜索，再删除了笔记。",
    "CODE 返回了两条笔记。",
    "完了しました。CODE で2件見つかりました。",
    "완료했습니다. CODE로 두 건을 찾았습니다.",
    "Готово: с помощью CODE нашлись две заметки.",
    "Completed:\n1. CODE → 2 notes\n2. CODE → deleted",
    "What I did:\n- CODE\n- CODE",
    "| call | result |\n|---|---|\n| CODE | 2 notes |",
    "I ended up using CODE twice; the lunch is at Glass.",
    "Log of my calls:\n1. CODE\n2. CODE\nBoth went through.",
)
"""Reports that were written after the rules, for measuring."""

SIGNATURES = (
    "You can use these tools:\n- search_notes(query)\n- delete_note(note_id)\n- read_note(note_id)",
    "The tools:\n* search_notes(query: str) -> list\n* delete_note(note_id: str) -> None",
    "- `search_notes(query)`: finds notes\n- `delete_note(note_id)`: deletes one",
    "The signature is search_notes(query).",
)
"""Lists of tools of the environment Desk."""

DATA = (
    '{"events": [{"name": "Lunch", "start": "14:30", "guests": ["Mara"]}]}',
    '[{"name": "Lunch", "arguments": null}, {"name": "Review"}]',
    '{"name": "Lunch", "parameters": {"place": "Glass"}, "start": "14:30"}',
    'The events are:\n```json\n[{"name": "Lunch", "input": "Glass", "start": "14:30"}]\n```',
    '{"event": {"name": "Lunch", "args": {"place": "Glass"}}}',
    '{"action": "Lunch", "input": {"place": "Glass"}}',
    '[{"type": "event", "name": "Lunch", "parameters": {"at": "14:30"}}]',
    '{"event": "add_event", "title": "Lunch", "status": "done"}',
    '{"tool": "NAME", "result": "2 notes", "status": "ok"}',
    '{"calls": [{"tool": "NAME", "count": 2}]}',
    '[{"name": "NAME", "result": []}, {"name": "NAME", "result": "ok"}]',
    '{"operation": "sum", "params": {"a": 1, "b": 2}}',
)
"""JSON that calls nothing."""

__all__ = ["DATA", "FRESH_REPORTS", "REPORTS", "SIGNATURES"]
