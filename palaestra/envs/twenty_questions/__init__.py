"""Twenty questions: an asker, an answerer and, if wanted, a judge, about generated things with facts."""

__all__: list[str] = []
