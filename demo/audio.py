"""Tones in WAV files: made, and measured again. Levels are dBm0, where a full-scale sine is +3.14."""
import array
import math
import wave

RATE = 8000


def write_wav(path, samples):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(array.array("h", samples).tobytes())


def tone(hz, seconds, dbm0):
    peak = 32767 * 10 ** ((dbm0 - 3.14) / 20)
    return [round(peak * math.sin(2 * math.pi * hz * n / RATE)) for n in range(int(seconds * RATE))]


def read_wav(path):
    """Samples of the first channel. A file that is still being written to is read as far as it goes."""
    with wave.open(path, "rb") as file:
        samples = array.array("h", file.readframes(file.getnframes()))
        return samples[::file.getnchannels()]


def level(samples, hz):
    """Level of one frequency in dBm0 (Goertzel)."""
    if not samples:
        return -100.0
    factor = 2 * math.cos(2 * math.pi * hz / RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + factor * last - before, last
    power = last * last + before * before - factor * last * before
    amplitude = 2 * math.sqrt(max(power, 1e-9)) / len(samples)
    return 20 * math.log10(max(amplitude, 1e-3) / 32767) + 3.14


def windows(samples, hz, millis=20):
    """Level of one frequency in each window."""
    size = RATE * millis // 1000
    return [level(samples[at:at + size], hz) for at in range(0, len(samples) - size + 1, size)]


def heard(samples, hz, threshold):
    """Where a tone was heard: (median level, seconds, longest gap in milliseconds between its first and last window)."""
    levels = windows(samples, hz)
    loud = [index for index, value in enumerate(levels) if value > threshold]
    if not loud:
        return None
    gap = max((later - earlier - 1 for earlier, later in zip(loud, loud[1:])), default=0)
    values = sorted(levels[index] for index in loud)
    return values[len(values) // 2], len(loud) * 0.02, gap * 20
