"""How well, how fast and how honestly an end-of-turn detector judges: `python -m bench.turn_detector`."""
