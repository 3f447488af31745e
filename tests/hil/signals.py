"""Signals and their measurement in 8 kHz samples, with the standard library alone: chirps found by correlation, gaps, level
and SINAD of a tone, mu-law and A-law. Levels are dBm0, where a full-scale sine is +3.14."""
import math
import operator

RATE = 8000
# A chirp stays away from the band's edges and from the tones of call progress' lower half.
CHIRP_FROM, CHIRP_TO, CHIRP_SECONDS = 600.0, 2800.0, 0.1


def chirp(dbm0=-12.0):
    """A rising tone with soft ends: its autocorrelation is one narrow peak."""
    count, peak = int(CHIRP_SECONDS * RATE), 32767 * 10 ** ((dbm0 - 3.14) / 20)
    samples = []
    for n in range(count):
        t = n / RATE
        phase = 2 * math.pi * (CHIRP_FROM * t + (CHIRP_TO - CHIRP_FROM) * t * t / (2 * CHIRP_SECONDS))
        edge = min(1.0, n / 80, (count - 1 - n) / 80)
        samples.append(round(peak * edge * math.sin(phase)))
    return samples


def silence(seconds):
    return [0] * int(seconds * RATE)


def find(pattern, samples):
    """Where a pattern begins in samples, and the normalised correlation there (1 is the pattern itself): a coarse search over
    every sample, no assumption about when it comes. None when the samples are shorter than the pattern."""
    size = len(pattern)
    if len(samples) < size:
        return None
    norm = math.sqrt(sum(map(operator.mul, pattern, pattern)))
    energy = sum(map(operator.mul, samples[:size], samples[:size]))
    best, place = 0.0, 0
    floor = norm * norm * 1e-4
    for at in range(len(samples) - size + 1):
        if energy > floor:
            match = sum(map(operator.mul, pattern, samples[at:at + size])) / (norm * math.sqrt(energy))
            if match > best:
                best, place = match, at
        if at + size < len(samples):
            energy += samples[at + size] ** 2 - samples[at] ** 2
    return place, best


def _project(block, hz):
    """A block as a cosine, b sine, and a rest, by least squares: (a, b, power of the tone, power of the rest)."""
    size = len(block)
    mean = sum(block) / size
    w = 2 * math.pi * hz / RATE
    cc = ss = cs = xc = xs = total = 0.0
    for n, value in enumerate(block):
        value -= mean
        c, s = math.cos(w * n), math.sin(w * n)
        cc += c * c
        ss += s * s
        cs += c * s
        xc += value * c
        xs += value * s
        total += value * value
    determinant = cc * ss - cs * cs
    a, b = (xc * ss - xs * cs) / determinant, (xs * cc - xc * cs) / determinant
    power = a * xc + b * xs
    return a, b, power / size, max(total - power, 0.0) / size


def fit(block, hz):
    """Power of a tone in a block, and of everything else. Clocks on the way differ, so the frequency is followed as a notch of
    an instrument would: by the phase between the halves, up to a few hertz."""
    half = len(block) // 2
    if half >= 200:
        (a, b, _, _), (c, d, _, _) = _project(block[:half], hz), _project(block[half:], hz)
        turned = math.atan2(-d, c) - math.atan2(-b, a) - 2 * math.pi * hz * half / RATE
        turned -= 2 * math.pi * round(turned / (2 * math.pi))
        hz += turned * RATE / (2 * math.pi * half)
    return _project(block, hz)[2:]


def dbm0(mean_square):
    """Level of a mean square."""
    return 10 * math.log10(max(mean_square, 1e-6) * 2 / 32767 ** 2) + 3.14


def purity(samples, hz):
    """Median level in dBm0, and SINAD in dB, its median and that which nine tenths reach, over blocks of 100 ms between the first and
    the last that hold the tone, or None. What is missing there is the business of `gaps`."""
    size = RATE // 10
    fits = [fit(samples[at:at + size], hz) for at in range(0, len(samples) - size + 1, size)]
    if not fits:
        return None
    loudest = max(power for power, _ in fits)
    # The first and the last hold the tone's ends.
    good = [pair for pair in fits if pair[0] > loudest / 2 and dbm0(pair[0]) > -45][1:-1]
    if len(good) < 3:
        return None
    levels = sorted(dbm0(power) for power, _ in good)
    ratios = sorted(10 * math.log10((power + rest) / max(rest, 1e-6)) for power, rest in good)
    return levels[len(levels) // 2], ratios[len(ratios) // 2], ratios[len(ratios) // 10]


def tone_windows(samples, hz, millis=10):
    """Whether each window of a tone's recording holds it: within 10 dB of the loudest."""
    size = RATE * millis // 1000
    powers = [fit(samples[at:at + size], hz)[0] for at in range(0, len(samples) - size + 1, size)]
    top = max(powers, default=0.0)
    return [power > top / 10 and dbm0(power) > -45 for power in powers]


def gaps(samples, hz, millis=10):
    """(seconds that hold the tone, how many gaps, the longest in ms) between a tone's first and last window."""
    held = tone_windows(samples, hz, millis)
    if True not in held:
        return 0.0, 0, 0
    first, last = held.index(True), len(held) - 1 - held[::-1].index(True)
    count = longest = run = 0
    for there in held[first:last + 1]:
        if there:
            run = 0
            continue
        run += 1
        count += run == 1
        longest = max(longest, run)
    return sum(held) * millis / 1000, count, longest * millis


def onset(samples, hz):
    """Second at which a tone is there for the first time, held for 30 ms."""
    held = tone_windows(samples, hz)
    for at in range(len(held) - 2):
        if held[at] and held[at + 1] and held[at + 2]:
            return at / 100
    return None


def hits(sent, got):
    """How many digits of `sent` arrived in order, and how many arrived that were not sent (longest common subsequence)."""
    row = [0] * (len(got) + 1)
    for digit in sent:
        above, row = row, [0]
        for at, other in enumerate(got):
            row.append(above[at] + 1 if digit == other else max(above[at + 1], row[at]))
    return row[-1], len(got) - row[-1]


def _ulaw_to_linear(byte):
    byte = ~byte & 0xFF
    value = (((byte & 0x0F) << 3) + 0x84) << ((byte >> 4) & 7)
    return 0x84 - value if byte & 0x80 else value - 0x84


def _alaw_to_linear(byte):
    byte ^= 0x55
    segment, value = (byte >> 4) & 7, (byte & 0x0F) << 4
    value = value + 8 if segment == 0 else (value + 0x108) << (segment - 1)
    return value if byte & 0x80 else -value


def _nearest(table):
    order = sorted(range(256), key=lambda byte: table[byte])
    coded, at = {}, 0
    for value in range(-32768, 32768, 4):
        while at < 255 and abs(table[order[at + 1]] - value) <= abs(table[order[at]] - value):
            at += 1
        coded[value] = order[at]
    return coded


DECODE = {0: [_ulaw_to_linear(byte) for byte in range(256)], 8: [_alaw_to_linear(byte) for byte in range(256)]}
ENCODE = {kind: _nearest(table) for kind, table in DECODE.items()}


def encode(samples, payload_type):
    table = ENCODE[payload_type]
    return bytes(table[max(-32768, min(32764, value)) & ~3] for value in samples)


def decode(data, payload_type):
    table = DECODE[payload_type]
    return [table[byte] for byte in data]
