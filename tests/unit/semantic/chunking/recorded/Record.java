import com.ibm.icu.text.BreakIterator;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Locale;
import java.util.StringJoiner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Says what Java makes of texts and patterns; breaks.jsonl and patterns.jsonl were made with it.
 *
 * Reads lines of `W text` or `R pattern text`, in hexadecimal UTF-16. Writes the ends of words (with
 * a `w` if their rule status is not 0) and of sentences, or the starts of matches. To run it:
 * java -cp icu4j-77.1.jar Record.java
 */
class Record {
    static String text(String hexadecimal) {
        StringBuilder text = new StringBuilder();
        for (int at = 0; at < hexadecimal.length(); at += 4) {
            text.append((char) Integer.parseInt(hexadecimal.substring(at, at + 4), 16));
        }
        return text.toString();
    }

    static String breaks(BreakIterator iterator, String text) {
        StringJoiner ends = new StringJoiner(" ");
        iterator.setText(text);
        for (int end = iterator.next(); end != BreakIterator.DONE; end = iterator.next()) {
            ends.add(end + (iterator.getRuleStatus() != 0 ? "w" : ""));
        }
        return ends.toString();
    }

    static String matches(String pattern, String text) {
        StringJoiner starts = new StringJoiner(" ");
        try {
            Matcher matcher = Pattern.compile(pattern, Pattern.MULTILINE).matcher(text);
            while (matcher.find()) {
                starts.add(Integer.toString(matcher.start()));
            }
        } catch (PatternSyntaxException refused) {
            return "refused";
        }
        return starts.toString();
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(System.out, false, "US-ASCII");
        BreakIterator words = BreakIterator.getWordInstance(Locale.ROOT);
        BreakIterator sentences = BreakIterator.getSentenceInstance(Locale.ROOT);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] parts = line.split(" ", -1);
            out.println(
                parts[0].equals("W")
                    ? breaks(words, text(parts[1])) + "|" + breaks(sentences, text(parts[1]))
                    : matches(text(parts[1]), text(parts[2])));
        }
        out.flush();
    }
}
