"""The noise filters under the names that applications choose them by."""

from __future__ import annotations

from antiphon.audio import AudioFrame

from .suppressor import NoiseSuppressor, SuppressorSettings


class NoiseFilter:
    """A choice of noise filter. One object can serve any number of streams through `stream`."""

    settings: SuppressorSettings

    def __init__(self) -> None:
        self._own: NoiseSuppressor | None = None

    def stream(self) -> NoiseSuppressor:
        """A fresh processor for one stream."""
        return NoiseSuppressor(self.settings)

    def process(self, frame: AudioFrame) -> AudioFrame:
        """Filter the next frame of a single stream, for applications that have no more than one."""
        if self._own is None:
            self._own = self.stream()
        return self._own.process(frame)


class BVC(NoiseFilter):
    """Noise filter for microphones.

    Attenuates what is steady: fans, traffic, hiss, hum. It does not remove other people's voices, music, or sudden
    noises such as keys and doors, whatever the name promises in other products: that takes a trained model, which
    this is not. Noise is learnt within one to two seconds, and a tone that lasts longer than that is taken for noise.
    It costs 5 ms of delay.
    """

    settings = SuppressorSettings(high_pass=80.0, band_end=None, floor_db=-16.0, memory=1.5)


class BVCTelephony(NoiseFilter):
    """Noise filter for telephone lines.

    As `BVC`, with the same limits, for voices between 300 and 3,400 Hz (ITU-T G.712): hum is cut more sharply, nothing
    is kept above the band of a telephone when the call arrives at a higher sample rate, speech that a codec has made
    rough already is attenuated less, and steady tones are taken for noise later, since lines carry signal tones.
    """

    settings = SuppressorSettings(high_pass=130.0, band_end=3_800.0, floor_db=-12.0, memory=2.0)
