package testanalysis;

import java.io.IOException;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.FilteringTokenFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;

/** Keeps the first of several tokens with the same text. */
@NamedComponent("unique")
public final class UniqueFilter implements TokenFilterFactory {
    @Override
    public TokenStream create(TokenStream tokens) {
        return new FirstOnly(tokens);
    }

    private static final class FirstOnly extends FilteringTokenFilter {
        private final CharTermAttribute text = addAttribute(CharTermAttribute.class);
        private final CharArraySet seen = new CharArraySet(16, false);

        FirstOnly(TokenStream tokens) {
            super(tokens);
        }

        @Override
        protected boolean accept() {
            return seen.add(text.toString());
        }

        @Override
        public void reset() throws IOException {
            super.reset();
            seen.clear();
        }
    }
}
