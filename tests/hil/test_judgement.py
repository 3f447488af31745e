"""What must fail does fail: the judgement of made-up measurements."""
import os
import random
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "demo")]

import audio  # noqa: E402
import judgement  # noqa: E402
import signals  # noqa: E402
from judgement import RIG, SIMULATED, Failed  # noqa: E402

HZ, DBM0, SECONDS = 1004, -16.0, 4.0


def heard(samples):
    """A tone as a recording has it: quiet before and after."""
    return [0] * 3000 + list(samples) + [0] * 5000


def tone():
    return audio.tone(HZ, SECONDS, DBM0)


def chopped(on_ms, off_ms, repeat=True):
    """The tone, there for a while and away for a while, by turns."""
    period, on = (on_ms + off_ms) * 8, on_ms * 8
    return [value if (n % period if repeat else n) < on or not repeat and n >= period else 0 for n, value in enumerate(tone())]


class Tone(unittest.TestCase):
    def judge(self, samples, limits, **how):
        return judgement.tone("sent", heard(samples), HZ, DBM0, SECONDS, limits, **how)

    def both_refuse(self, samples, words):
        for limits in (RIG, SIMULATED):
            with self.assertRaisesRegex(Failed, words):
                self.judge(samples, limits)

    def test_the_whole_tone_passes_and_is_measured(self):
        for limits in (RIG, SIMULATED):
            measures = self.judge(tone(), limits)
            self.assertEqual((measures["sent_level_db"], measures["sent_gaps"], measures["sent_missing_ms"]), (0.0, 0, 0))
            self.assertGreater(measures["sent_sinad_db"], 45)

    def test_what_g711_does_to_it_passes(self):
        for kind in signals.ENCODE:
            self.judge(signals.decode(signals.encode(tone(), kind), kind), SIMULATED)

    def test_a_path_that_carries_37_per_cent_fails(self):
        self.both_refuse(chopped(110, 190), "missing|gaps|clean")
        # Of this no gap is too long for a rig: what is missing in all is.
        with self.assertRaisesRegex(Failed, "missing"):
            self.judge(chopped(110, 190), RIG | {"sinad_low_db": 0, "sinad_db": 0})

    def test_many_short_gaps_fail_by_their_sum(self):
        with self.assertRaisesRegex(Failed, "missing"):
            self.judge(chopped(160, 40), SIMULATED | {"sinad_low_db": 0, "sinad_db": 0})
        with self.assertRaisesRegex(Failed, "missing"):
            self.judge(chopped(800, 150), RIG)

    def test_one_gap_may_be_as_long_as_the_limit_says(self):
        with self.assertRaisesRegex(Failed, "gaps"):
            self.judge(chopped(1000, 60, repeat=False), SIMULATED)
        self.assertIn(self.judge(chopped(1000, 60, repeat=False), RIG)["sent_longest_gap_ms"], (50, 60, 70))
        with self.assertRaisesRegex(Failed, "gaps"):
            self.judge(chopped(1000, 250, repeat=False), RIG)

    def test_a_tone_that_ends_early_or_begins_late_fails(self):
        for cut in (tone()[:24000], [0] * 8000 + tone()[8000:]):
            self.both_refuse(cut, "missing")

    def test_silence_noise_and_another_tone_fail(self):
        chance = random.Random(1)
        self.both_refuse([0] * 32000, "not heard")
        self.both_refuse([chance.randrange(-6000, 6000) for _ in range(32000)], "level|clean|gaps|not heard")
        self.both_refuse(audio.tone(440, SECONDS, DBM0), "level|clean|not heard")

    def test_a_level_that_is_off_fails(self):
        self.both_refuse([value * 3 for value in tone()], "level")
        self.both_refuse([value // 3 for value in tone()], "level")

    def test_noise_on_it_fails_unless_a_speech_codec_is_between(self):
        chance = random.Random(2)
        rough = [value + chance.randrange(-2500, 2500) for value in tone()]
        self.both_refuse(rough, "clean")
        self.judge(rough, RIG, coded=True)

    def test_noise_in_a_part_of_it_fails(self):
        chance = random.Random(3)
        rough = [value + (chance.randrange(-2500, 2500) if n % 8000 < 1600 else 0) for n, value in enumerate(tone())]
        self.both_refuse(rough, "clean")


class Eased(unittest.TestCase):
    def test_a_machine_that_keeps_up_moves_nothing(self):
        self.assertEqual(judgement.eased(SIMULATED, 9, 300, 5), SIMULATED)

    def test_a_late_machine_widens_the_limits_as_far_as_those_of_a_rig(self):
        wide = judgement.eased(SIMULATED, 30, 100, 5)
        self.assertEqual((wide["gap_ms"], wide["delay_ms"], round(wide["missing"], 3)), (100, 410, 0.06))
        for name in ("sinad_db", "level_db", "dtmf", "extra_digits"):
            self.assertEqual(wide[name], SIMULATED[name])
        widest = judgement.eased(SIMULATED, 9000, 9000, 5)
        for name in ("gap_ms", "delay_ms", "missing", "sinad_low_db", "marks"):
            self.assertEqual(widest[name], RIG[name])

    def test_a_path_that_carries_37_per_cent_fails_on_any_machine(self):
        with self.assertRaises(Failed):
            judgement.tone("sent", heard(chopped(110, 190)), HZ, DBM0, SECONDS, judgement.eased(SIMULATED, 9000, 9000, 5))


class Digits(unittest.TestCase):
    SENT = "0123456789*#" * 4 + "84"

    def test_all_of_them_pass(self):
        for limits in (RIG, SIMULATED):
            self.assertEqual(judgement.digits("sent", self.SENT, self.SENT, limits), {"sent_hit_rate": 1.0, "sent_extra": 0})

    def test_digits_that_are_lost(self):
        self.assertEqual(judgement.digits("sent", self.SENT, self.SENT[2:], RIG)["sent_hit_rate"], 0.96)
        for got, limits in ((self.SENT[1:], SIMULATED), (self.SENT[3:], RIG), ("", RIG), (self.SENT[::-1], RIG)):
            with self.assertRaisesRegex(Failed, "lost"):
                judgement.digits("sent", self.SENT, got, limits)

    def test_digits_that_nobody_sent(self):
        twice = "".join(digit * 2 for digit in self.SENT)
        for got, limits in ((twice, RIG), (twice, SIMULATED), (self.SENT + "5", SIMULATED)):
            with self.assertRaisesRegex(Failed, "nobody sent"):
                judgement.digits("sent", self.SENT, got, limits)
        self.assertEqual(judgement.digits("sent", self.SENT, self.SENT + "5", RIG)["sent_extra"], 1)


class Delays(unittest.TestCase):
    def test_marks_that_came(self):
        self.assertEqual(judgement.delays("to_sip_delay", [190.2, 160, 170, 165, 161], 5, SIMULATED),
                         {"to_sip_delay_ms": 165, "to_sip_delay_max_ms": 190})

    def test_marks_that_did_not(self):
        with self.assertRaisesRegex(Failed, "4 of 5"):
            judgement.delays("to_sip_delay", [160] * 4, 5, SIMULATED)
        judgement.delays("to_sip_delay", [160] * 4, 5, RIG)
        for found in ([160] * 3, []):
            with self.assertRaisesRegex(Failed, "of 5"):
                judgement.delays("to_sip_delay", found, 5, RIG)

    def test_what_takes_too_long(self):
        for found, limits in (([160, 160, 160, 160, 351], SIMULATED), ([160, 160, 160, 160, 1001], RIG)):
            with self.assertRaisesRegex(Failed, "too long"):
                judgement.delays("to_sip_delay", found, 5, limits)
        judgement.delays("round_trip", [500] * 5, 5, SIMULATED, passes=2)


class Endings(unittest.TestCase):
    def test_the_right_one_passes(self):
        for simulated in (True, False):
            self.assertEqual(judgement.ending("normal", "normal", simulated), "normal")

    def test_unknown_is_for_hardware_alone(self):
        for right in ("normal", "unavail"):
            self.assertEqual(judgement.ending("unknown", right, False), "unknown")
            with self.assertRaisesRegex(Failed, f"unknown, not as {right}"):
                judgement.ending("unknown", right, True)

    def test_any_other_fails_everywhere(self):
        for mode, right in (("normal", "unavail"), ("unavail", "normal"), ("busy", "normal"), (None, "normal"), (None, "unavail")):
            for simulated in (True, False):
                with self.assertRaises(Failed):
                    judgement.ending(mode, right, simulated)

    def test_a_line_comes_back_as_itself(self):
        judgement.same_line("modem:desk", 4, 4)
        with self.assertRaisesRegex(Failed, "another line: its id was 4 and is 5"):
            judgement.same_line("modem:desk", 4, 5)
        with self.assertRaisesRegex(Failed, "did not come back"):
            judgement.same_line("modem:desk", 4, None)


class Absences(unittest.TestCase):
    KNOWN = ["v253: call waiting"]

    def outcome(self, name, outcome):
        return judgement.absences([{"name": f"simulated: {name}", "outcome": outcome, "text": "cannot hold"}], self.KNOWN)[0]["outcome"]

    def test_what_is_known_to_be_impossible_is_absent(self):
        self.assertEqual(self.outcome("v253: call waiting", "absent"), "absent")

    def test_a_feature_that_was_lost_is_a_failure(self):
        self.assertEqual(self.outcome("generic: hold and swap", "absent"), "failed")

    def test_a_list_that_is_too_long_is_a_failure(self):
        self.assertEqual(self.outcome("v253: call waiting", "passed"), "failed")

    def test_what_was_tried_stays_as_it_is(self):
        for outcome in ("passed", "failed"):
            self.assertEqual(self.outcome("generic: busy", outcome), outcome)


if __name__ == "__main__":
    unittest.main()
